BEGIN TRANSACTION;
CREATE TABLE address_map (
	session BIGINT NOT NULL, 
	pn TEXT NOT NULL, 
	lid TEXT NOT NULL, 
	CONSTRAINT pk_address_map PRIMARY KEY (session, pn), 
	CONSTRAINT uq_address_map_session_lid UNIQUE (session, lid)
);
INSERT INTO "address_map" VALUES(1,'5511900000001@s.whatsapp.net','100000000000001@lid');
INSERT INTO "address_map" VALUES(1,'5511900000009@s.whatsapp.net','99@lid');
CREATE TABLE alert_conditions (
	rule TEXT NOT NULL, 
	subject TEXT NOT NULL, 
	since BIGINT NOT NULL, 
	CONSTRAINT pk_alert_conditions PRIMARY KEY (rule, subject)
);
INSERT INTO "alert_conditions" VALUES('session_needs_pairing','golden',1767326645678901);
CREATE TABLE alerts (
	id TEXT NOT NULL, 
	rule TEXT NOT NULL, 
	subject TEXT NOT NULL, 
	severity TEXT NOT NULL, 
	sentence TEXT NOT NULL, 
	value DOUBLE, 
	began_at BIGINT NOT NULL, 
	fired_at BIGINT NOT NULL, 
	resolved_at BIGINT, 
	notified TEXT NOT NULL, 
	CONSTRAINT pk_alerts PRIMARY KEY (id)
);
INSERT INTO "alerts" VALUES('golden-alert','session_down','golden','critical','The session is down.',0.5,1767323045678901,1767323345678901,1767333845678901,'[{"at": "2026-01-02T03:09:05.678901+00:00", "ok": false, "detail": "no answer"}, {"at": "2026-01-02T03:10:05.678901+00:00", "ok": true, "detail": null}]');
CREATE TABLE api_keys (
	id TEXT NOT NULL, 
	hash BLOB NOT NULL, 
	name TEXT NOT NULL, 
	created_at BIGINT NOT NULL, 
	CONSTRAINT pk_api_keys PRIMARY KEY (id), 
	CONSTRAINT uq_api_keys_hash UNIQUE (hash)
);
INSERT INTO "api_keys" VALUES('k_a0e9d1ed7b50',X'589D8D90310C702503338DA1A534B16F37510918FCA2673A79208CDA67B9A401','desk',1767323045678901);
CREATE TABLE archived_credentials (
	id INTEGER NOT NULL, 
	session BIGINT NOT NULL, 
	at BIGINT NOT NULL, 
	reason TEXT NOT NULL, 
	sealed BLOB NOT NULL, 
	CONSTRAINT pk_archived_credentials PRIMARY KEY (id), 
	CONSTRAINT fk_archived_credentials_session FOREIGN KEY(session) REFERENCES sessions ("key") ON DELETE CASCADE
);
INSERT INTO "archived_credentials" VALUES(1,1,1767323045678901,'device_removed',X'010001C3F0E2BF23F9E62FDE92CFB83CBAF44633F21E88ABCAD7F526DDAF634434648E27B11EB3');
CREATE TABLE ciphertexts (
	id INTEGER NOT NULL, 
	session BIGINT NOT NULL, 
	hash BLOB NOT NULL, 
	at BIGINT NOT NULL, 
	CONSTRAINT pk_ciphertexts PRIMARY KEY (id), 
	CONSTRAINT uq_ciphertexts_session_hash UNIQUE (session, hash)
);
INSERT INTO "ciphertexts" VALUES(1,1,X'6868686868686868686868686868686868686868686868686868686868686868',1767323045678901);
CREATE TABLE client_versions (
	endpoint TEXT NOT NULL, 
	version TEXT NOT NULL, 
	found_at BIGINT NOT NULL, 
	CONSTRAINT pk_client_versions PRIMARY KEY (endpoint)
);
INSERT INTO "client_versions" VALUES('wss://chat.example/ws','2.3000.1',1767323045678901);
CREATE TABLE conversation_addresses (
	session BIGINT NOT NULL, 
	address TEXT NOT NULL, 
	conversation BIGINT NOT NULL, 
	CONSTRAINT pk_conversation_addresses PRIMARY KEY (session, address), 
	CONSTRAINT fk_conversation_addresses_conversation FOREIGN KEY(conversation) REFERENCES conversations (id) ON DELETE CASCADE
)
 WITHOUT ROWID

;
INSERT INTO "conversation_addresses" VALUES(1,'100000000000001@lid',1);
INSERT INTO "conversation_addresses" VALUES(1,'5511900000001@s.whatsapp.net',1);
CREATE TABLE conversations (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	session BIGINT NOT NULL, 
	chat TEXT NOT NULL, 
	created_at BIGINT NOT NULL, 
	CONSTRAINT uq_conversations_session_chat UNIQUE (session, chat)
);
INSERT INTO "conversations" VALUES(1,1,'100000000000001@lid',1767323045678901);
CREATE TABLE counters (
	name TEXT NOT NULL, 
	value BIGINT NOT NULL, 
	CONSTRAINT pk_counters PRIMARY KEY (name)
);
INSERT INTO "counters" VALUES('outbox',3);
CREATE TABLE credentials (
	session BIGINT NOT NULL, 
	sealed BLOB NOT NULL, 
	CONSTRAINT pk_credentials PRIMARY KEY (session), 
	CONSTRAINT fk_credentials_session FOREIGN KEY(session) REFERENCES sessions ("key") ON DELETE CASCADE
);
INSERT INTO "credentials" VALUES(1,X'010001EF3A8354947C5A399545DDA4D37CC9C5DD3C09CAC5FAFD61490089511C369B85A15245DE1B527C');
CREATE TABLE data_keys (
	session BIGINT NOT NULL, 
	generation SMALLINT NOT NULL, 
	sealed BLOB NOT NULL, 
	CONSTRAINT pk_data_keys PRIMARY KEY (session, generation), 
	CONSTRAINT fk_data_keys_session FOREIGN KEY(session) REFERENCES sessions ("key") ON DELETE CASCADE
);
INSERT INTO "data_keys" VALUES(1,1,X'01000116CC68B607916E1CEDC1B5CCDC6CFA7A0DFB8F9DE030CDBD97F9C83407ADBE63CD1C4995C474FF92EB124C33B0775869E86AE6941503133A19320DED');
CREATE TABLE hearing (
	session BIGINT NOT NULL, 
	learned BLOB NOT NULL, 
	CONSTRAINT pk_hearing PRIMARY KEY (session)
);
INSERT INTO "hearing" VALUES(1,X'6C6561726E6564');
CREATE TABLE idempotency_keys (
	session BIGINT NOT NULL, 
	"key" TEXT NOT NULL, 
	request_hash BLOB NOT NULL, 
	external_id TEXT NOT NULL, 
	at BIGINT NOT NULL, 
	CONSTRAINT pk_idempotency_keys PRIMARY KEY (session, "key")
);
INSERT INTO "idempotency_keys" VALUES(1,'key',X'68617368','SENT',1767323045678901);
CREATE TABLE keyring (
	id SMALLINT NOT NULL, 
	sealed BLOB NOT NULL, 
	CONSTRAINT pk_keyring PRIMARY KEY (id)
);
INSERT INTO "keyring" VALUES(1,X'01000136192374577B82D6261EC6F5076F119AED13E1545A9519563C67F36F8EC6C83A8A8A74F7C6636246D317');
CREATE TABLE ledger (
	session BIGINT NOT NULL, 
	sender TEXT NOT NULL, 
	external_id TEXT NOT NULL, 
	chat TEXT NOT NULL, 
	from_me SMALLINT NOT NULL, 
	fate TEXT NOT NULL, 
	reason TEXT, 
	retries INTEGER NOT NULL, 
	first_seen BIGINT NOT NULL, 
	updated BIGINT NOT NULL, 
	CONSTRAINT pk_ledger PRIMARY KEY (session, sender, external_id, chat, from_me)
)
 WITHOUT ROWID

;
INSERT INTO "ledger" VALUES(1,'100000000000001@lid','LOST','120363000000000001@g.us',0,'pending','bad_mac',2,1767323045678901,1767323045678901);
INSERT INTO "ledger" VALUES(1,'100000000000001@lid','RECEIVED','100000000000001@lid',0,'delivered',NULL,0,1767323045678901,1767323045678901);
CREATE TABLE messages (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	session BIGINT NOT NULL, 
	sender TEXT NOT NULL, 
	external_id TEXT NOT NULL, 
	conversation BIGINT NOT NULL, 
	from_me SMALLINT NOT NULL, 
	kind TEXT NOT NULL, 
	text TEXT, 
	sealed BLOB NOT NULL, 
	timestamp BIGINT NOT NULL, 
	status TEXT NOT NULL, 
	status_at BIGINT NOT NULL, 
	error TEXT, 
	push_name TEXT, 
	sender_device INTEGER NOT NULL, 
	received_at BIGINT NOT NULL, failure TEXT, 
	CONSTRAINT uq_messages_session_sender_external_id_conversation_from_me UNIQUE (session, sender, external_id, conversation, from_me)
);
INSERT INTO "messages" VALUES(1,1,'100000000000001@lid','RECEIVED',1,0,'text','hello',X'010001DB1ED604B039D6E1F2760FA5F91A5A2A62B6BDC91847465F05B63E5D60F9A8A737F16608',1767323045678901,'received',1767323045678901,NULL,NULL,0,1767323045678901,NULL);
INSERT INTO "messages" VALUES(2,1,'100000000000099@lid','SENT',1,1,'text','hello',X'010001F88A3D7F94E42865E9B803F2F0070C0EBB9E0956C536365187A48693E19F3F84',1767323045678901,'queued',1767323045678901,NULL,NULL,0,1767323045678901,NULL);
INSERT INTO "messages" VALUES(3,1,'100000000000099@lid','REFUSED',1,1,'text','hello',X'010001C2EF676CFD1188B15FB1A9D3135A061B77A95F192A3D48C3C93E64650F0627EC',1767323045678901,'failed',1767323045678901,'463',NULL,0,1767323045678901,'time_locked');
CREATE TABLE outages (
	"key" INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	id TEXT NOT NULL, 
	session BIGINT NOT NULL, 
	began_at BIGINT NOT NULL, 
	ended_at BIGINT, 
	cause TEXT NOT NULL, 
	kind TEXT NOT NULL, 
	code TEXT NOT NULL, 
	sentence TEXT NOT NULL, 
	attributes TEXT NOT NULL, 
	attempts INTEGER NOT NULL, 
	last_attempt_at BIGINT, 
	last_cause TEXT NOT NULL, 
	last_code TEXT NOT NULL, 
	retry_at BIGINT, 
	"end" TEXT, losses TEXT DEFAULT '[]' NOT NULL, 
	CONSTRAINT uq_outages_id UNIQUE (id)
);
INSERT INTO "outages" VALUES(1,'golden-outage',1,1767323045678901,1767333845678901,'temporary_ban','failure','402','Banned for an hour.','{"reason": "402", "expire": "3600"}',2,1767326645678901,'network','unreachable',1767330245678901,'recovered','[{"cause": "temporary_ban", "kind": "failure", "code": "402", "attributes": {"reason": "402", "expire": "3600"}, "times": 1, "first_at": "2026-01-02T03:04:05.678901+00:00", "last_at": "2026-01-02T03:04:05.678901+00:00"}, {"cause": "network", "kind": "local", "code": "unreachable", "attributes": {}, "times": 2, "first_at": "2026-01-02T03:34:05.678901+00:00", "last_at": "2026-01-02T04:04:05.678901+00:00"}]');
CREATE TABLE outbox (
	seq INTEGER NOT NULL, 
	id TEXT NOT NULL, 
	type TEXT NOT NULL, 
	session TEXT, 
	payload TEXT NOT NULL, 
	at BIGINT NOT NULL, 
	CONSTRAINT pk_outbox PRIMARY KEY (seq), 
	CONSTRAINT uq_outbox_id UNIQUE (id)
);
INSERT INTO "outbox" VALUES(2,'evt_golden','message.received','golden','{"id":"RECEIVED"}',1767323045678901);
INSERT INTO "outbox" VALUES(3,'evt_710643a2ef0cc370a24b5745','message.status','golden','{"id":"REFUSED","status":"failed"}',1767323045678901);
CREATE TABLE peer_messages (
	session BIGINT NOT NULL, 
	id TEXT NOT NULL, 
	kind TEXT NOT NULL, 
	sealed BLOB NOT NULL, 
	at BIGINT NOT NULL, 
	CONSTRAINT pk_peer_messages PRIMARY KEY (session, id)
);
INSERT INTO "peer_messages" VALUES(1,'PEER','app_state_key_share',X'010001A2869DD6791B7A569D28BBCA06AAC564D19E9E702AF95907F7DD0AB68BE156C2',1767323045678901);
CREATE TABLE perene_schema (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT perene_schema_pkc PRIMARY KEY (version_num)
);
INSERT INTO "perene_schema" VALUES('0008');
CREATE TABLE pre_keys (
	session BIGINT NOT NULL, 
	id INTEGER NOT NULL, 
	uploaded SMALLINT NOT NULL, 
	sealed BLOB NOT NULL, 
	CONSTRAINT pk_pre_keys PRIMARY KEY (session, id)
)
 WITHOUT ROWID

;
INSERT INTO "pre_keys" VALUES(1,7,0,X'010001BC08501D96301E8E49B6D881237D780914D030ACB0943844A1F6D80705A54D1C86A501254B4A03C72B7ABCDA2872886016214DDF1C953B596C19BAA1');
CREATE TABLE privacy_tokens (
	session BIGINT NOT NULL, 
	person TEXT NOT NULL, 
	sealed BLOB, 
	given_at BIGINT, 
	sent_at BIGINT, 
	CONSTRAINT pk_privacy_tokens PRIMARY KEY (session, person)
);
INSERT INTO "privacy_tokens" VALUES(1,'1@lid',X'01000147E9F6CC07106B3780AB6978109EDB2B7063D30148A1DCC2FC7A90B8E919C14D9E',1767323045678901,1767323045678901);
CREATE TABLE ratchets (
	session BIGINT NOT NULL, 
	name TEXT NOT NULL, 
	device INTEGER NOT NULL, 
	sealed BLOB NOT NULL, 
	CONSTRAINT pk_ratchets PRIMARY KEY (session, name, device)
);
INSERT INTO "ratchets" VALUES(1,'100000000000001_1',2,X'0100019E2B8F5BC4A3AADCAA9BD5B361F37A1BBE27311CC54D2F45E284640E23B97F6BBB32C6');
CREATE TABLE remains (
	session BIGINT NOT NULL, 
	id TEXT NOT NULL, 
	last_event BIGINT NOT NULL, 
	CONSTRAINT pk_remains PRIMARY KEY (session)
);
CREATE TABLE sender_key_holders (
	session BIGINT NOT NULL, 
	"group" TEXT NOT NULL, 
	address TEXT NOT NULL, 
	CONSTRAINT pk_sender_key_holders PRIMARY KEY (session, "group", address)
)
 WITHOUT ROWID

;
INSERT INTO "sender_key_holders" VALUES(1,'120363000000000001@g.us','1_1.2');
CREATE TABLE sender_keys (
	session BIGINT NOT NULL, 
	name TEXT NOT NULL, 
	device INTEGER NOT NULL, 
	"group" TEXT NOT NULL, 
	sealed BLOB NOT NULL, 
	CONSTRAINT pk_sender_keys PRIMARY KEY (session, name, device, "group")
);
INSERT INTO "sender_keys" VALUES(1,'1_1',2,'120363000000000001@g.us',X'0100014516046244FE9B4C969D9FE3450DAD0EB454D0FC318AC77E7B35AA32ACFD84170FFCA9C0BB3C');
CREATE TABLE sessions (
	"key" INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	id TEXT NOT NULL, 
	name TEXT, 
	desired TEXT NOT NULL, 
	epoch BIGINT NOT NULL, 
	created_at BIGINT NOT NULL, 
	pn TEXT, 
	lid TEXT, 
	push_name TEXT, 
	platform TEXT, 
	options TEXT NOT NULL, 
	proxy_sealed BLOB, standing TEXT, 
	CONSTRAINT uq_sessions_id UNIQUE (id)
);
INSERT INTO "sessions" VALUES(1,'golden','Golden','stopped',0,1767323045678901,'5511900000009:3@s.whatsapp.net','99:3@lid','Golden',NULL,'{"history_sync": true, "mark_online": null, "query_timeout_s": null}',X'010001B2115AA76CCC71E070FF672E5A18D160A72EDE8225799F82B7C41C7AEBFB0E7245AC8D57434AF5D188170BE106D41156757D2C5C1AF9','{"restarts": 2}');
CREATE INDEX ix_archived_credentials_session ON archived_credentials (session);
CREATE INDEX ix_conversation_addresses_conversation ON conversation_addresses (conversation);
CREATE INDEX ix_messages_conversation_id ON messages (conversation, id);
CREATE INDEX ix_messages_queued ON messages (session, status, id) WHERE status = 'queued';
CREATE INDEX ix_messages_session_external_id ON messages (session, external_id);
CREATE INDEX ix_messages_session_id ON messages (session, id);
CREATE INDEX ix_idempotency_keys_at ON idempotency_keys (at);
CREATE INDEX ix_ledger_open ON ledger (session, first_seen) WHERE fate IN ('pending', 'lost');
CREATE INDEX ix_ledger_own_chat ON ledger (session, chat) WHERE from_me = 1;
CREATE INDEX ix_outbox_session_seq ON outbox (session, seq);
CREATE INDEX ix_outages_ended_at ON outages (ended_at);
CREATE INDEX ix_outages_session_key ON outages (session, "key");
CREATE INDEX ix_alerts_fired_at ON alerts (fired_at);
CREATE INDEX ix_alerts_resolved_at ON alerts (resolved_at);
CREATE INDEX ix_alerts_subject_fired_at ON alerts (subject, fired_at);
CREATE INDEX ix_outbox_account ON outbox (session, seq, type) WHERE type IN ('session.limited', 'session.limit_lifted', 'session.deleted', 'session.banned', 'session.connected');
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('sessions',1);
INSERT INTO "sqlite_sequence" VALUES('outages',2);
INSERT INTO "sqlite_sequence" VALUES('conversations',1);
INSERT INTO "sqlite_sequence" VALUES('messages',3);
COMMIT;
