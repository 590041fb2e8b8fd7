-- A ledger as cldc 0.1.0 wrote it, dumped by sqlite3's iterdump; it was in WAL mode.
BEGIN TRANSACTION;
CREATE TABLE place (
    competition TEXT NOT NULL, bundle TEXT NOT NULL, name TEXT NOT NULL,
    updated TEXT NOT NULL, rank INTEGER, entries INTEGER NOT NULL, score REAL,
    PRIMARY KEY (competition, bundle, updated)
) STRICT;
INSERT INTO "place" VALUES('data-centric-2021','0x33333333333333333333333333333333','kärtchen','2026-11-02T09:30:00+00:00',NULL,50,NULL);
INSERT INTO "place" VALUES('data-centric-2021','0x33333333333333333333333333333333','kärtchen','2026-11-03T09:30:00+00:00',7,51,0.8125);
CREATE TABLE step (
    submission TEXT NOT NULL REFERENCES submission(id), name TEXT NOT NULL,
    started TEXT NOT NULL, finished TEXT, result TEXT,
    PRIMARY KEY (submission, name)
) STRICT;
INSERT INTO "step" VALUES('5e1a0c9d2f374b68','worksheet','2026-11-01T09:30:00+00:00','2026-11-01T09:30:01+00:00','{"uuid": "0x11111111111111111111111111111111"}');
INSERT INTO "step" VALUES('5e1a0c9d2f374b68','run','2026-11-01T09:30:02+00:00','2026-11-01T09:33:10+00:00','{"seconds": "181.5", "uuid": "0x22222222222222222222222222222222"}');
INSERT INTO "step" VALUES('5e1a0c9d2f374b68','tag','2026-11-01T09:33:11+00:00','2026-11-01T09:33:12+00:00','{"uuid": "0x33333333333333333333333333333333"}');
INSERT INTO "step" VALUES('0b7f6c5d4e3a2918','upload','2026-11-02T09:30:00+00:00',NULL,NULL);
CREATE TABLE submission (
    id TEXT PRIMARY KEY, competition TEXT NOT NULL, server TEXT NOT NULL, account TEXT NOT NULL,
    name TEXT NOT NULL, institution TEXT NOT NULL, link TEXT NOT NULL,
    dataset TEXT NOT NULL, dataset_hash TEXT NOT NULL, preflight TEXT, created TEXT NOT NULL
) STRICT;
INSERT INTO "submission" VALUES('5e1a0c9d2f374b68','data-centric-2021','https://worksheets.codalab.org','alice','kärtchen','Universität Süd','https://example.org/a?b=1','kärtchen','5e1a0c9d2f374b685e1a0c9d2f374b685e1a0c9d2f374b685e1a0c9d2f374b68','20261101-f00d','2026-11-01T09:30:00+00:00');
INSERT INTO "submission" VALUES('0b7f6c5d4e3a2918','data-centric-2021','https://worksheets.codalab.org','alice','second-try','','','second-try','0b7f6c5d4e3a29180b7f6c5d4e3a29180b7f6c5d4e3a29180b7f6c5d4e3a2918',NULL,'2026-11-01T09:30:00+00:00');
COMMIT;
