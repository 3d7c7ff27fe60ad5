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
CREATE TABLE api_keys (
	id TEXT NOT NULL, 
	hash BLOB NOT NULL, 
	name TEXT NOT NULL, 
	created_at BIGINT NOT NULL, 
	CONSTRAINT pk_api_keys PRIMARY KEY (id), 
	CONSTRAINT uq_api_keys_hash UNIQUE (hash)
);
INSERT INTO "api_keys" VALUES('k_598741e4a9d9',X'35D78294FCB7B4583CC53B23DF9CA3F8C10BDC40704966515EFC1D80256D93C4','desk',1767323045678901);
CREATE TABLE archived_credentials (
	id INTEGER NOT NULL, 
	session BIGINT NOT NULL, 
	at BIGINT NOT NULL, 
	reason TEXT NOT NULL, 
	sealed BLOB NOT NULL, 
	CONSTRAINT pk_archived_credentials PRIMARY KEY (id), 
	CONSTRAINT fk_archived_credentials_session FOREIGN KEY(session) REFERENCES sessions ("key") ON DELETE CASCADE
);
INSERT INTO "archived_credentials" VALUES(1,1,1767323045678901,'device_removed',X'0100014A016D34C212259169BF8C78934513F1C0019DA025CCAB59594115A8E6F42E281D091AC7');
CREATE TABLE ciphertexts (
	id INTEGER NOT NULL, 
	session BIGINT NOT NULL, 
	hash BLOB NOT NULL, 
	at BIGINT NOT NULL, 
	CONSTRAINT pk_ciphertexts PRIMARY KEY (id), 
	CONSTRAINT uq_ciphertexts_session_hash UNIQUE (session, hash)
);
INSERT INTO "ciphertexts" VALUES(1,1,X'6868686868686868686868686868686868686868686868686868686868686868',1767323045678901);
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
INSERT INTO "credentials" VALUES(1,X'010001914CAB94B92A0AC7D677AF94A959D5D6BA2BAA171C9E06F57D380F261C883602C9C05781C59D6C');
CREATE TABLE data_keys (
	session BIGINT NOT NULL, 
	generation SMALLINT NOT NULL, 
	sealed BLOB NOT NULL, 
	CONSTRAINT pk_data_keys PRIMARY KEY (session, generation), 
	CONSTRAINT fk_data_keys_session FOREIGN KEY(session) REFERENCES sessions ("key") ON DELETE CASCADE
);
INSERT INTO "data_keys" VALUES(1,1,X'01000171515ACA1F9916324FD34F80121173E065356396663733F7740776923FCA2BD952CE1927368E12392ACE699376A505845F0884ED72994D31C6E06721');
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
INSERT INTO "keyring" VALUES(1,X'010001AEE705CC3D89D343CA9B82E8893E80BC8DC09CFB5301EB62292757094879A8140BD271FCDCE1564E64AF');
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
INSERT INTO "messages" VALUES(1,1,'100000000000001@lid','RECEIVED',1,0,'text','hello',X'01000153CA909D91E64D83D2C07C50DDFEC2D1129220DAE33B3623229C27029B477982B49E245C',1767323045678901,'received',1767323045678901,NULL,NULL,0,1767323045678901);
INSERT INTO "messages" VALUES(2,1,'100000000000099@lid','SENT',1,1,'text','hello',X'010001ABE7ED13254A40378D8D1420A1F2759D6CFE22F9039F7E755E1C6A660EF26A35',1767323045678901,'queued',1767323045678901,NULL,NULL,0,1767323045678901);
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
INSERT INTO "peer_messages" VALUES(1,'PEER','app_state_key_share',X'0100017FA62AF089386766C5C4A657A8053D4E7FDA9E37AD65C070C8B8FA3271510520',1767323045678901);
CREATE TABLE perene_schema (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT perene_schema_pkc PRIMARY KEY (version_num)
);
INSERT INTO "perene_schema" VALUES('0001');
CREATE TABLE pre_keys (
	session BIGINT NOT NULL, 
	id INTEGER NOT NULL, 
	uploaded SMALLINT NOT NULL, 
	sealed BLOB NOT NULL, 
	CONSTRAINT pk_pre_keys PRIMARY KEY (session, id)
)
 WITHOUT ROWID

;
INSERT INTO "pre_keys" VALUES(1,7,0,X'010001AC195616F74B91F496EA9204416EF1F436EB5CBA25ED9775BDCF10A4D2A71D40A67168A3B002D36A71DC215E6D1A51294B6093B561D0690E668F9562');
CREATE TABLE ratchets (
	session BIGINT NOT NULL, 
	name TEXT NOT NULL, 
	device INTEGER NOT NULL, 
	sealed BLOB NOT NULL, 
	CONSTRAINT pk_ratchets PRIMARY KEY (session, name, device)
);
INSERT INTO "ratchets" VALUES(1,'100000000000001_1',2,X'010001251E5C0BF12EC2B57412F67D70CA84D9B74FB14012A20ED74AB966B626D7C53124BC53');
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
INSERT INTO "sender_keys" VALUES(1,'1_1',2,'120363000000000001@g.us',X'010001C92DB08DC4611CC502625FF2AD8CECCDD01F0A8D93459373F33DCA23523D15E5DE1B8DCC0E77');
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
	proxy_sealed BLOB, 
	CONSTRAINT uq_sessions_id UNIQUE (id)
);
INSERT INTO "sessions" VALUES(1,'golden','Golden','stopped',0,1767323045678901,'5511900000009:3@s.whatsapp.net','99:3@lid','Golden',NULL,'{"history_sync": true, "mark_online": null}',X'010001E3DBF1A4D7731023834902348630450E35FC005739700D4244D3C28C4A7F2E06AA2DB92341FC7E5A95462DC1E2EADDE416C9C0B8AFD7');
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
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('sessions',1);
INSERT INTO "sqlite_sequence" VALUES('conversations',1);
INSERT INTO "sqlite_sequence" VALUES('messages',2);
COMMIT;
