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
INSERT INTO "api_keys" VALUES('k_3bc2c267dc8d',X'9C5A9AA3F72D0B66A1BE93398A1A1F239DBA383E71E3045C0D36F562ACB4A316','desk',1767323045678901);
CREATE TABLE archived_credentials (
	id INTEGER NOT NULL, 
	session BIGINT NOT NULL, 
	at BIGINT NOT NULL, 
	reason TEXT NOT NULL, 
	sealed BLOB NOT NULL, 
	CONSTRAINT pk_archived_credentials PRIMARY KEY (id), 
	CONSTRAINT fk_archived_credentials_session FOREIGN KEY(session) REFERENCES sessions ("key") ON DELETE CASCADE
);
INSERT INTO "archived_credentials" VALUES(1,1,1767323045678901,'device_removed',X'010001788058FF57E63E00B5764AFEADBBEAA2465BA7F07C7788589A781C94FAC9D783C6C737F7');
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
INSERT INTO "counters" VALUES('outbox',1);
CREATE TABLE credentials (
	session BIGINT NOT NULL, 
	sealed BLOB NOT NULL, 
	CONSTRAINT pk_credentials PRIMARY KEY (session), 
	CONSTRAINT fk_credentials_session FOREIGN KEY(session) REFERENCES sessions ("key") ON DELETE CASCADE
);
INSERT INTO "credentials" VALUES(1,X'0100016F749EC1B9BDADFDE95F473723E2298C16C26B510323C6E0352E10875976AD45AB5B0E39517C50');
CREATE TABLE data_keys (
	session BIGINT NOT NULL, 
	generation SMALLINT NOT NULL, 
	sealed BLOB NOT NULL, 
	CONSTRAINT pk_data_keys PRIMARY KEY (session, generation), 
	CONSTRAINT fk_data_keys_session FOREIGN KEY(session) REFERENCES sessions ("key") ON DELETE CASCADE
);
INSERT INTO "data_keys" VALUES(1,1,X'01000191C09266E4946BD88CB77A0352175EE099553F15A348454DBA4E25ACDB17A04A202228D6367E83B6143905A8CA75E94041D9558C054B2A5ADFFB3FDD');
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
INSERT INTO "keyring" VALUES(1,X'0100013ACE9812957DECA81BC3A76987BA898DFE977F47982A6D0FEB23D322F2CDC73189D5698A74095BE39E31');
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
	received_at BIGINT NOT NULL, 
	CONSTRAINT uq_messages_session_sender_external_id_conversation_from_me UNIQUE (session, sender, external_id, conversation, from_me)
);
INSERT INTO "messages" VALUES(1,1,'100000000000001@lid','RECEIVED',1,0,'text','hello',X'010001BAE872114C3C2A718C40E00702E0650032B65BEDE1367330837BE12286B168022921DF55',1767323045678901,'received',1767323045678901,NULL,NULL,0,1767323045678901);
INSERT INTO "messages" VALUES(2,1,'100000000000099@lid','SENT',1,1,'text','hello',X'010001D1B83AF3277C729BE98A839E41B47955BE1FA8BF4229881807E5E337E94D5F2B',1767323045678901,'queued',1767323045678901,NULL,NULL,0,1767323045678901);
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
	"end" TEXT, 
	CONSTRAINT uq_outages_id UNIQUE (id)
);
INSERT INTO "outages" VALUES(1,'golden-outage',1,1767323045678901,1767333845678901,'temporary_ban','failure','402','Banned for an hour.','{"reason": "402", "expire": "3600"}',2,1767326645678901,'network','unreachable',1767330245678901,'recovered');
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
INSERT INTO "outbox" VALUES(1,'evt_golden','message.received','golden','{"id":"RECEIVED"}',1767323045678901);
CREATE TABLE peer_messages (
	session BIGINT NOT NULL, 
	id TEXT NOT NULL, 
	kind TEXT NOT NULL, 
	sealed BLOB NOT NULL, 
	at BIGINT NOT NULL, 
	CONSTRAINT pk_peer_messages PRIMARY KEY (session, id)
);
INSERT INTO "peer_messages" VALUES(1,'PEER','app_state_key_share',X'0100010F9FBA84043944A7581A565266DD3EE8692374E8D8D2A210D58AAD722452B89E',1767323045678901);
CREATE TABLE perene_schema (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT perene_schema_pkc PRIMARY KEY (version_num)
);
INSERT INTO "perene_schema" VALUES('0002');
CREATE TABLE pre_keys (
	session BIGINT NOT NULL, 
	id INTEGER NOT NULL, 
	uploaded SMALLINT NOT NULL, 
	sealed BLOB NOT NULL, 
	CONSTRAINT pk_pre_keys PRIMARY KEY (session, id)
)
 WITHOUT ROWID

;
INSERT INTO "pre_keys" VALUES(1,7,0,X'010001B7DA33DEA6F7A4BDC9451FF5D6642D1A7433C3EA68FD0573920901E5D5CF562CEE4D30068B2F7CEEC965871C4739269C57852C317E06AE0789595ABE');
CREATE TABLE ratchets (
	session BIGINT NOT NULL, 
	name TEXT NOT NULL, 
	device INTEGER NOT NULL, 
	sealed BLOB NOT NULL, 
	CONSTRAINT pk_ratchets PRIMARY KEY (session, name, device)
);
INSERT INTO "ratchets" VALUES(1,'100000000000001_1',2,X'010001D19DA4679087DD184E7E355A8FFA62BD667BB1F41BCF529CAC46404256C928AB773283');
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
INSERT INTO "sender_keys" VALUES(1,'1_1',2,'120363000000000001@g.us',X'010001E026B014C50A12D8C746ADCE6AEB6D248CFD6CA798AF06A071D6F843533844D95348DDEB0E14');
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
INSERT INTO "sessions" VALUES(1,'golden','Golden','stopped',0,1767323045678901,'5511900000009:3@s.whatsapp.net','99:3@lid','Golden',NULL,'{"history_sync": true, "mark_online": null}',X'01000123A532E27FA895949496F4DE8F9FBC2A46530E01D7D2B1B86915E3FAFA2813ABF2DE710073184F95D2968C35D7914742834431FEC685','{"restarts": 2}');
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
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('sessions',1);
INSERT INTO "sqlite_sequence" VALUES('outages',2);
INSERT INTO "sqlite_sequence" VALUES('conversations',1);
INSERT INTO "sqlite_sequence" VALUES('messages',2);
COMMIT;
