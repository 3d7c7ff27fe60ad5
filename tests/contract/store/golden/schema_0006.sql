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
INSERT INTO "api_keys" VALUES('k_696779086b0c',X'3E5B68D3327F5E05B3266EC10AB5146DE470F6274B13BDBB33E03189E8EDA46C','desk',1767323045678901);
CREATE TABLE archived_credentials (
	id INTEGER NOT NULL, 
	session BIGINT NOT NULL, 
	at BIGINT NOT NULL, 
	reason TEXT NOT NULL, 
	sealed BLOB NOT NULL, 
	CONSTRAINT pk_archived_credentials PRIMARY KEY (id), 
	CONSTRAINT fk_archived_credentials_session FOREIGN KEY(session) REFERENCES sessions ("key") ON DELETE CASCADE
);
INSERT INTO "archived_credentials" VALUES(1,1,1767323045678901,'device_removed',X'010001ADBB49DBB94F04BA996FE1A356E33B84355204E040BCFAAA7E8702D92B9EAB411F7E6F2C');
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
INSERT INTO "credentials" VALUES(1,X'01000124C169681C9D970A8AE30FE98CA6E9C3ED483B6DAF5D4AD05DC943789EE09CB25E2B1FFA6B642C');
CREATE TABLE data_keys (
	session BIGINT NOT NULL, 
	generation SMALLINT NOT NULL, 
	sealed BLOB NOT NULL, 
	CONSTRAINT pk_data_keys PRIMARY KEY (session, generation), 
	CONSTRAINT fk_data_keys_session FOREIGN KEY(session) REFERENCES sessions ("key") ON DELETE CASCADE
);
INSERT INTO "data_keys" VALUES(1,1,X'0100015E0928F654CAB89D0932BE141C868EE63F1A2DC51B24495CDB2204022FF4D722ADE2DA7724BA75A81E28E8BBE4DFF09FBDED6F6F12D29DF3AFE74949');
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
INSERT INTO "keyring" VALUES(1,X'010001837792847E0D00D899C065911B6388294C09138CA4B938F8CC91078D2ECAA3E8AEAE3C865FB8EE2331E4');
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
INSERT INTO "messages" VALUES(1,1,'100000000000001@lid','RECEIVED',1,0,'text','hello',X'0100019E17CACED681EAD30282D39A90015EE0FA76A2C34DAF52C1905E0A4ECA30BA702B082600',1767323045678901,'received',1767323045678901,NULL,NULL,0,1767323045678901,NULL);
INSERT INTO "messages" VALUES(2,1,'100000000000099@lid','SENT',1,1,'text','hello',X'01000166C44DE005FB6D58BE11A066ACFDD65ABC523AE82EF4D1BCC2B1FF72E96CAC63',1767323045678901,'queued',1767323045678901,NULL,NULL,0,1767323045678901,NULL);
INSERT INTO "messages" VALUES(3,1,'100000000000099@lid','REFUSED',1,1,'text','hello',X'010001A922C42FA5AE9427CCD37551CBCCE4DE68BA6C69FC781569B0F07A9B52A3CC96',1767323045678901,'failed',1767323045678901,'463',NULL,0,1767323045678901,'time_locked');
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
INSERT INTO "outbox" VALUES(3,'evt_0f8f700fe7b2ed7fabfac5b9','message.status','golden','{"id":"REFUSED","status":"failed"}',1767323045678901);
CREATE TABLE peer_messages (
	session BIGINT NOT NULL, 
	id TEXT NOT NULL, 
	kind TEXT NOT NULL, 
	sealed BLOB NOT NULL, 
	at BIGINT NOT NULL, 
	CONSTRAINT pk_peer_messages PRIMARY KEY (session, id)
);
INSERT INTO "peer_messages" VALUES(1,'PEER','app_state_key_share',X'0100012C0708492BDBD9F68ABF9BF4BBD7C2CE2B3DE3C678F6FB8EC6339439887FD5A4',1767323045678901);
CREATE TABLE perene_schema (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT perene_schema_pkc PRIMARY KEY (version_num)
);
INSERT INTO "perene_schema" VALUES('0006');
CREATE TABLE pre_keys (
	session BIGINT NOT NULL, 
	id INTEGER NOT NULL, 
	uploaded SMALLINT NOT NULL, 
	sealed BLOB NOT NULL, 
	CONSTRAINT pk_pre_keys PRIMARY KEY (session, id)
)
 WITHOUT ROWID

;
INSERT INTO "pre_keys" VALUES(1,7,0,X'010001EFDA21F80F70C2458F7FFA512E43FFE198D3AD63B0BAB799E137621131FB6CD045F13B1F7E1712CFB002CDAAAC6FE75FE5AD1FDCBD8DF98C17B13D3F');
CREATE TABLE privacy_tokens (
	session BIGINT NOT NULL, 
	person TEXT NOT NULL, 
	sealed BLOB, 
	given_at BIGINT, 
	sent_at BIGINT, 
	CONSTRAINT pk_privacy_tokens PRIMARY KEY (session, person)
);
INSERT INTO "privacy_tokens" VALUES(1,'1@lid',X'0100012DF669918485DF674EF33DE845A3D7D32D951198ED844D7FEB4BF11138966D16F0',1767323045678901,1767323045678901);
CREATE TABLE ratchets (
	session BIGINT NOT NULL, 
	name TEXT NOT NULL, 
	device INTEGER NOT NULL, 
	sealed BLOB NOT NULL, 
	CONSTRAINT pk_ratchets PRIMARY KEY (session, name, device)
);
INSERT INTO "ratchets" VALUES(1,'100000000000001_1',2,X'0100018E868636F65642BE6A0EE91B84CEBC7BDB7BDBD0CE0A7A164A0F6BBE1D7B85072A59FB');
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
INSERT INTO "sender_keys" VALUES(1,'1_1',2,'120363000000000001@g.us',X'0100018F1A29FDB57BFBB6A86A0C2276DBEAE363D458383CEA1A0146F1E525714D0AFCACEFE05ECC5B');
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
INSERT INTO "sessions" VALUES(1,'golden','Golden','stopped',0,1767323045678901,'5511900000009:3@s.whatsapp.net','99:3@lid','Golden',NULL,'{"history_sync": true, "mark_online": null, "query_timeout_s": null}',X'010001AB2C4CDEF83AB6AC427F5BB75B572EAB0B45F9CF5D0A625DDD954B95AEABA5817C930D19E8C271557A9B79DD252E69F134243A51C52C','{"restarts": 2}');
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
