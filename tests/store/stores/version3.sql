BEGIN TRANSACTION;
CREATE TABLE claims (
        lead_id TEXT PRIMARY KEY,
        op_id TEXT NOT NULL REFERENCES ops (id)
    ) WITHOUT ROWID;
INSERT INTO "claims" VALUES('lead3','op1');
CREATE TABLE ops (
        id TEXT PRIMARY KEY,
        number INTEGER NOT NULL UNIQUE,   -- order of creation
        run_id TEXT NOT NULL REFERENCES runs (id),
        state TEXT NOT NULL CHECK (state IN (
            'planned', 'sending', 'unknown', 'started', 'rejected', 'absent', 'done')),
        lead_ids BLOB NOT NULL,           -- compressed JSON, in the order sent
        lead_count INTEGER NOT NULL,
        query_id TEXT,
        to_enrich INTEGER NOT NULL,       -- what the preview before the start said
        estimate INTEGER NOT NULL,
        limited INTEGER NOT NULL DEFAULT 0,  -- cap or balance stopped the job short
        available_before INTEGER,
        enriched_before INTEGER,
        jobs_before TEXT,                 -- JSON list of job ids; NULL where they could not be had
        excluded_jobs TEXT NOT NULL DEFAULT '[]',
        sent_at INTEGER,
        job_id TEXT,
        credits_reserved INTEGER,
        leads_queued INTEGER,
        job_status TEXT,
        processed INTEGER NOT NULL DEFAULT 0,
        found_emails INTEGER NOT NULL DEFAULT 0,
        beat INTEGER NOT NULL DEFAULT 0,  -- moves while somebody drives the op
        note TEXT NOT NULL DEFAULT ''
    , timeout REAL, evidence TEXT, candidates TEXT NOT NULL DEFAULT '{}', provisional INTEGER NOT NULL DEFAULT 0, sent_boot TEXT, sent_clock REAL, ended_at INTEGER, ended_boot TEXT, ended_clock REAL, told INTEGER NOT NULL DEFAULT 0);
INSERT INTO "ops" VALUES('op1',1,'run1','started',X'789C8B56CA494D4C31568A05000E4D02C6',1,NULL,1,1,0,88,0,'["job0"]','[]',1764000000000000,'job1',1,1,NULL,0,0,0,'',NULL,NULL,'{}',0,'boot',12.5,NULL,NULL,NULL,0);
CREATE TABLE results (
        lead_id TEXT PRIMARY KEY,
        status TEXT NOT NULL CHECK (status IN ('found', 'not_found', 'unknown_lead')),
        emails TEXT NOT NULL,             -- JSON: [[email, confidence, source], ...]
        enriched_at INTEGER,              -- microseconds since the epoch, UTC
        read_at INTEGER NOT NULL
    ) WITHOUT ROWID;
INSERT INTO "results" VALUES('lead1','found','[["a@b.example", 0.94, "website"]]',1777980180000000,1795471580188161);
INSERT INTO "results" VALUES('lead2','not_found','[]',1777980180000000,1795471580188161);
CREATE TABLE run_ops (
        run_id TEXT NOT NULL REFERENCES runs (id),
        op_id TEXT NOT NULL REFERENCES ops (id),
        PRIMARY KEY (run_id, op_id)
    ) WITHOUT ROWID;
INSERT INTO "run_ops" VALUES('run1','op1');
CREATE TABLE runs (
        id TEXT PRIMARY KEY,
        created_at INTEGER NOT NULL,      -- microseconds since the epoch, UTC
        lead_ids BLOB NOT NULL,           -- compressed JSON, unique, in the frame's order
        lead_count INTEGER NOT NULL,
        query_id TEXT,
        partial INTEGER NOT NULL,
        preview TEXT                      -- JSON of the price that was agreed to
    , label TEXT, ended_at INTEGER, found INTEGER, not_found INTEGER);
INSERT INTO "runs" VALUES('run1',1795471580172328,X'789C8B56CA494D4C3154D25100338C600C63A5580069B20775',3,NULL,0,'{"total_leads": 3, "already_enriched": 1, "to_enrich": 2, "estimated_credits": 2, "available_credits": 88, "estimated_seconds": 0.0}',NULL,NULL,NULL,NULL);
CREATE INDEX ops_open ON ops (state);
CREATE INDEX claims_op ON claims (op_id);
COMMIT;
PRAGMA application_id = 1279607108;
PRAGMA user_version = 3;
