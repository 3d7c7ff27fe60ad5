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
INSERT INTO "api_keys" VALUES('k_921636924b74',X'BBA4BD242B115BA35BD51A000744D7BFA93AA4CF9386ADA8B08473B2E50FE849','desk',1767323045678901);
CREATE TABLE archived_credentials (
	id INTEGER NOT NULL, 
	session BIGINT NOT NULL, 
	at BIGINT NOT NULL, 
	reason TEXT NOT NULL, 
	sealed BLOB NOT NULL, 
	CONSTRAINT pk_archived_credentials PRIMARY KEY (id), 
	CONSTRAINT fk_archived_credentials_session FOREIGN KEY(session) REFERENCES sessions ("key") ON DELETE CASCADE
);
INSERT INTO "archived_credentials" VALUES(1,1,1767323045678901,'device_removed',X'0100012B10C2063C3420FE95A26F2CAFD6617804D22B3267D9EC7D3048B68E78F50FEA23F7C81C');
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
INSERT INTO "credentials" VALUES(1,X'010001B829D795ACE736F71209F49C1799B5355A3E48391609FD1C4C4184953242C360F8CF9EED7C013D');
CREATE TABLE data_keys (
	session BIGINT NOT NULL, 
	generation SMALLINT NOT NULL, 
	sealed BLOB NOT NULL, 
	CONSTRAINT pk_data_keys PRIMARY KEY (session, generation), 
	CONSTRAINT fk_data_keys_session FOREIGN KEY(session) REFERENCES sessions ("key") ON DELETE CASCADE
);
INSERT INTO "data_keys" VALUES(1,1,X'010001456D4CD41C0535D648ECF192C1FA6F377F5524DD20157636600033D958D45B025B1AD0D965490CB47D4CB6A0F8E95DFADB03FFFA75CC326560E5F574');
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
INSERT INTO "keyring" VALUES(1,X'010001AF3F15C27C646925032CF7A297EAD76ACD2D872A7D0D2CED034C331A680EEF0985C195688DA46B780C63');
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
	updated BIGINT NOT NULL, wants_phone SMALLINT, 
	CONSTRAINT pk_ledger PRIMARY KEY (session, sender, external_id, chat, from_me)
)
 WITHOUT ROWID

;
INSERT INTO "ledger" VALUES(1,'100000000000001@lid','LOST','120363000000000001@g.us',0,'pending','bad_mac',2,1767323045678901,1767323045678901,NULL);
INSERT INTO "ledger" VALUES(1,'100000000000001@lid','RECEIVED','100000000000001@lid',0,'delivered',NULL,0,1767323045678901,1767323045678901,NULL);
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
INSERT INTO "messages" VALUES(1,1,'100000000000001@lid','RECEIVED',1,0,'text','hello',X'010001336E3BAFCA71CE66685BD4A99E9A39654162341B252361E8C9BB0E995601AB60DD03CD83',1767323045678901,'received',1767323045678901,NULL,NULL,0,1767323045678901,NULL);
INSERT INTO "messages" VALUES(2,1,'100000000000099@lid','SENT',1,1,'text','hello',X'010001706CC2077DB4BC44AD8CD290002E8FAF60E958A65DA0BF9DBD6BA04242BAA190',1767323045678901,'queued',1767323045678901,NULL,NULL,0,1767323045678901,NULL);
INSERT INTO "messages" VALUES(3,1,'100000000000099@lid','REFUSED',1,1,'text','hello',X'010001187AF96F599D7E386225CD1CC75B362F13C7D7EB6B3313824A71B47653C86AE7',1767323045678901,'failed',1767323045678901,'463',NULL,0,1767323045678901,'time_locked');
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
INSERT INTO "outbox" VALUES(3,'evt_d412f96b7de7c5249ff5cb1c','message.status','golden','{"id":"REFUSED","status":"failed"}',1767323045678901);
CREATE TABLE peer_messages (
	session BIGINT NOT NULL, 
	id TEXT NOT NULL, 
	kind TEXT NOT NULL, 
	sealed BLOB NOT NULL, 
	at BIGINT NOT NULL, 
	CONSTRAINT pk_peer_messages PRIMARY KEY (session, id)
);
INSERT INTO "peer_messages" VALUES(1,'PEER','app_state_key_share',X'010001AC00A2C7B018A189011556B9EF00D79FD5CF1FCF6058F6A82263DF8DC27A8CBA',1767323045678901);
CREATE TABLE perene_schema (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT perene_schema_pkc PRIMARY KEY (version_num)
);
INSERT INTO "perene_schema" VALUES('0009');
CREATE TABLE pre_keys (
	session BIGINT NOT NULL, 
	id INTEGER NOT NULL, 
	uploaded SMALLINT NOT NULL, 
	sealed BLOB NOT NULL, 
	CONSTRAINT pk_pre_keys PRIMARY KEY (session, id)
)
 WITHOUT ROWID

;
INSERT INTO "pre_keys" VALUES(1,7,0,X'0100014E9ED687C78B46C78D51652381FD6F4EC8869661C75D6D6ABCEA1EED0B1FC6BF6F0023D4216B66377679C60CB5D35B031E571E18C851029D0996A8C0');
CREATE TABLE privacy_tokens (
	session BIGINT NOT NULL, 
	person TEXT NOT NULL, 
	sealed BLOB, 
	given_at BIGINT, 
	sent_at BIGINT, 
	CONSTRAINT pk_privacy_tokens PRIMARY KEY (session, person)
);
INSERT INTO "privacy_tokens" VALUES(1,'1@lid',X'0100011C5729F42AB59A132578F6E6C03D9326AC1DAE0E91B5BD718A598B70FB19C0EB18',1767323045678901,1767323045678901);
CREATE TABLE ratchets (
	session BIGINT NOT NULL, 
	name TEXT NOT NULL, 
	device INTEGER NOT NULL, 
	sealed BLOB NOT NULL, 
	CONSTRAINT pk_ratchets PRIMARY KEY (session, name, device)
);
INSERT INTO "ratchets" VALUES(1,'100000000000001_1',2,X'0100014AA8192321F26A6029FA727E41E515545CA7F4F635D6365DAC10D4C2AA65750C2A263A');
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
INSERT INTO "sender_keys" VALUES(1,'1_1',2,'120363000000000001@g.us',X'01000143261E626ECF87C9C17B054E9AEA5F1E966CCD68D8CEEFA38EEB5CE8B1852DC707EBA6DC76FD');
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
INSERT INTO "sessions" VALUES(1,'golden','Golden','stopped',0,1767323045678901,'5511900000009:3@s.whatsapp.net','99:3@lid','Golden',NULL,'{"history_sync": true, "mark_online": null, "query_timeout_s": null}',X'010001B8EFA3E1CC585E1FF8F1A6C7E91DAB85B478F3E709A0A0546121C82DE996D9CD38A78122267939C6BDA421F926FED11A7A56E0C24138','{"restarts": 2}');
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
