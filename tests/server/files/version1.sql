BEGIN TRANSACTION;
CREATE TABLE account (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    monthly INTEGER NOT NULL, bonus INTEGER NOT NULL, used INTEGER NOT NULL,
    reset_day INTEGER NOT NULL, last_reset_at REAL NOT NULL
);
INSERT INTO "account" VALUES(1,100,0,3,5,1777980180.0);
CREATE TABLE jobs (
    number INTEGER PRIMARY KEY, job_id TEXT NOT NULL UNIQUE, status TEXT NOT NULL,
    price INTEGER NOT NULL, total INTEGER NOT NULL,
    processed INTEGER NOT NULL DEFAULT 0, failed INTEGER NOT NULL DEFAULT 0,
    found INTEGER NOT NULL DEFAULT 0, created_at REAL NOT NULL, finished_at REAL
);
INSERT INTO "jobs" VALUES(1,'enrich_9150b735c6ba40a4ee6f','COMPLETED',1,1,1,0,1,1777980180.0,1777980180.0);
INSERT INTO "jobs" VALUES(2,'enrich_445429a8b1ef851c0100','PENDING',1,2,0,0,0,1777980180.0,NULL);
CREATE TABLE keys (hash BLOB PRIMARY KEY, created_at REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE leads (
    number INTEGER PRIMARY KEY, lead_id TEXT NOT NULL UNIQUE,
    website TEXT, name TEXT, query_id TEXT,
    job INTEGER REFERENCES jobs, emails TEXT, enriched_at REAL
);
INSERT INTO "leads" VALUES(1,'l0','0.example',NULL,'q',NULL,'[["info@firm.example", 0.9, "website"]]',1777980180.0);
INSERT INTO "leads" VALUES(2,'l1','1.example',NULL,'q',2,NULL,NULL);
INSERT INTO "leads" VALUES(3,'l2','2.example',NULL,'q',2,NULL,NULL);
INSERT INTO "leads" VALUES(4,'l3','3.example',NULL,'q',NULL,NULL,NULL);
CREATE TABLE tasks (
    job INTEGER NOT NULL REFERENCES jobs, place INTEGER NOT NULL,
    lead INTEGER NOT NULL REFERENCES leads, done INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (job, place)
) WITHOUT ROWID;
INSERT INTO "tasks" VALUES(1,1,1,1);
INSERT INTO "tasks" VALUES(2,1,2,0);
INSERT INTO "tasks" VALUES(2,2,3,0);
CREATE TABLE transactions (
    number INTEGER PRIMARY KEY, type TEXT NOT NULL, amount INTEGER NOT NULL,
    description TEXT NOT NULL, created_at REAL NOT NULL
);
INSERT INTO "transactions" VALUES(1,'MONTHLY_RESET',100,'Credits of the month',1777980180.0);
INSERT INTO "transactions" VALUES(2,'DEDUCTION',-1,'Enrichment enrich_9150b735c6ba40a4ee6f: 1 leads',1777980180.0);
INSERT INTO "transactions" VALUES(3,'DEDUCTION',-2,'Enrichment enrich_445429a8b1ef851c0100: 2 leads',1777980180.0);
CREATE INDEX active_jobs ON jobs (number) WHERE status IN ('PENDING', 'PROCESSING');
CREATE INDEX leads_of_query ON leads (query_id);
CREATE INDEX leads_of_job ON leads (job) WHERE job IS NOT NULL;
COMMIT;
PRAGMA application_id = 1281712484;
PRAGMA user_version = 1;
