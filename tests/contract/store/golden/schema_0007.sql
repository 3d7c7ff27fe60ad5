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
INSERT INTO "api_keys" VALUES('k_495a242a6ed6',X'F5AFABA67856D899EA1F17BC080DA5D52002A77C6E32714DF2755A9470F2759E','desk',1767323045678901);
CREATE TABLE archived_credentials (
	id INTEGER NOT NULL, 
	session BIGINT NOT NULL, 
	at BIGINT NOT NULL, 
	reason TEXT NOT NULL, 
	sealed BLOB NOT NULL, 
	CONSTRAINT pk_archived_credentials PRIMARY KEY (id), 
	CONSTRAINT fk_archived_credentials_session FOREIGN KEY(session) REFERENCES sessions ("key") ON DELETE CASCADE
);
INSERT INTO "archived_credentials" VALUES(1,1,1767323045678901,'device_removed',X'010001DB56C3C293AF9FCFA930FC2F56CF19B0650933697C562EC1561B14CD4B66851E8C0CC436');
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
INSERT INTO "credentials" VALUES(1,X'0100017CEDDC0041567924DB42C85057A5F66D923D5641AF2B22E00FDDE6A1BE08FB96FBD9EAD764EAE2');
CREATE TABLE data_keys (
	session BIGINT NOT NULL, 
	generation SMALLINT NOT NULL, 
	sealed BLOB NOT NULL, 
	CONSTRAINT pk_data_keys PRIMARY KEY (session, generation), 
	CONSTRAINT fk_data_keys_session FOREIGN KEY(session) REFERENCES sessions ("key") ON DELETE CASCADE
);
INSERT INTO "data_keys" VALUES(1,1,X'010001CA7C5E311ADB202B190D0428348E4306728E0AE1B213A9A96AF5FAD2D5A7B394AA5E576509A6D6D79950BE722BEE64C2EA9663958B0C7041EF9D3A6F');
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
INSERT INTO "keyring" VALUES(1,X'01000110C630805E660A9FAEA8B8E5E68BB8966C2B4F4349B5F78A35D1F52D3EEE65CC30391B26C7CEE5CA85A8');
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
INSERT INTO "messages" VALUES(1,1,'100000000000001@lid','RECEIVED',1,0,'text','hello',X'01000141CC662EE594A3F26F33EAA09D38650B7DCF5C2B0C48C234AAC9B83090BE9ECACA0FC361',1767323045678901,'received',1767323045678901,NULL,NULL,0,1767323045678901,NULL);
INSERT INTO "messages" VALUES(2,1,'100000000000099@lid','SENT',1,1,'text','hello',X'010001BC2E21D3D48137682641DE0E66183C76541331E40BAEF098AFF2117341379657',1767323045678901,'queued',1767323045678901,NULL,NULL,0,1767323045678901,NULL);
INSERT INTO "messages" VALUES(3,1,'100000000000099@lid','REFUSED',1,1,'text','hello',X'0100017729DB03D8E0843D7D2DE6E50D4612D9CB511B31CBD4DE3498137670FA8CA382',1767323045678901,'failed',1767323045678901,'463',NULL,0,1767323045678901,'time_locked');
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
INSERT INTO "outbox" VALUES(3,'evt_d12cccc2535896c55d703e1c','message.status','golden','{"id":"REFUSED","status":"failed"}',1767323045678901);
CREATE TABLE peer_messages (
	session BIGINT NOT NULL, 
	id TEXT NOT NULL, 
	kind TEXT NOT NULL, 
	sealed BLOB NOT NULL, 
	at BIGINT NOT NULL, 
	CONSTRAINT pk_peer_messages PRIMARY KEY (session, id)
);
INSERT INTO "peer_messages" VALUES(1,'PEER','app_state_key_share',X'0100013065DE46FC714D2B10016272538C6CE1690EB993DD3FC6CBCF7C6F154140F81D',1767323045678901);
CREATE TABLE perene_schema (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT perene_schema_pkc PRIMARY KEY (version_num)
);
INSERT INTO "perene_schema" VALUES('0007');
CREATE TABLE pre_keys (
	session BIGINT NOT NULL, 
	id INTEGER NOT NULL, 
	uploaded SMALLINT NOT NULL, 
	sealed BLOB NOT NULL, 
	CONSTRAINT pk_pre_keys PRIMARY KEY (session, id)
)
 WITHOUT ROWID

;
INSERT INTO "pre_keys" VALUES(1,7,0,X'010001C4DCAD5D8FD988366243AC9C0E60370C88BDA3A1F9EC133495739C749BC0F68A7A31453BDC304AF810DD33498A8741C0B82A5DF0FC1FF0D31AFD1F0D');
CREATE TABLE privacy_tokens (
	session BIGINT NOT NULL, 
	person TEXT NOT NULL, 
	sealed BLOB, 
	given_at BIGINT, 
	sent_at BIGINT, 
	CONSTRAINT pk_privacy_tokens PRIMARY KEY (session, person)
);
INSERT INTO "privacy_tokens" VALUES(1,'1@lid',X'01000130ACD33666D754715999820297D06C3C026DB86C71202112FB18C84F2A2B8980FE',1767323045678901,1767323045678901);
CREATE TABLE ratchets (
	session BIGINT NOT NULL, 
	name TEXT NOT NULL, 
	device INTEGER NOT NULL, 
	sealed BLOB NOT NULL, 
	CONSTRAINT pk_ratchets PRIMARY KEY (session, name, device)
);
INSERT INTO "ratchets" VALUES(1,'100000000000001_1',2,X'01000192E40DECCCB5449E24CCF6248C662260325E464A02ECC8D111139FCD39CBF2FE462B1E');
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
INSERT INTO "sender_keys" VALUES(1,'1_1',2,'120363000000000001@g.us',X'010001336487E1311FB28B28A089476CC3865BDE48CDEE7006E09E2B8F69125F5AB4BB26F8F5BF1679');
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
INSERT INTO "sessions" VALUES(1,'golden','Golden','stopped',0,1767323045678901,'5511900000009:3@s.whatsapp.net','99:3@lid','Golden',NULL,'{"history_sync": true, "mark_online": null, "query_timeout_s": null}',X'0100011C92E65AE69DD42CA7E03DF91244473CD763768F990DB2A01E589DE1CC90C6B079ABB15ECA24CD151B98C8A8DAE94B0A9BE847EEC1A7','{"restarts": 2}');
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
