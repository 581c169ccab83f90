-- Times are microseconds since the epoch, UTC; days are days since the epoch.

CREATE TABLE streams (
    id          INTEGER PRIMARY KEY,
    tenant      TEXT NOT NULL,
    source      TEXT NOT NULL,
    feed        TEXT NOT NULL,
    source_type TEXT NOT NULL,
    vendor      TEXT NOT NULL,
    UNIQUE (tenant, source, feed)
);

-- job 0 is the lane's own position; a backfill or reconcile has its job's id.
CREATE TABLE checkpoints (
    stream INTEGER NOT NULL REFERENCES streams (id),
    lane   TEXT    NOT NULL,
    job    INTEGER NOT NULL DEFAULT 0,
    body   TEXT    NOT NULL,
    PRIMARY KEY (stream, lane, job)
) WITHOUT ROWID;

-- The bucket serves locality: ids of one minute stand side by side.
CREATE TABLE seen (
    stream         INTEGER NOT NULL,
    bucket         INTEGER NOT NULL,
    hash16         BLOB    NOT NULL,
    first_seen_day INTEGER NOT NULL,
    seq            INTEGER NOT NULL,
    PRIMARY KEY (stream, bucket, hash16)
) WITHOUT ROWID;

-- AUTOINCREMENT: a pruned page's number is never given again, cursors rely on it.
CREATE TABLE pages (
    seq        INTEGER PRIMARY KEY AUTOINCREMENT,
    stream     INTEGER NOT NULL REFERENCES streams (id),
    lane       TEXT    NOT NULL,
    fetched_at INTEGER NOT NULL,
    records    INTEGER NOT NULL,
    bytes      INTEGER NOT NULL,
    request_id TEXT    NOT NULL
);

CREATE TABLE bodies (
    seq  INTEGER PRIMARY KEY REFERENCES pages (seq),
    zstd BLOB NOT NULL
);

CREATE TABLE cursors (
    sink        TEXT    NOT NULL,
    destination TEXT    NOT NULL,
    seq         INTEGER NOT NULL,
    offset      INTEGER NOT NULL,
    state       BLOB,
    PRIMARY KEY (sink, destination)
) WITHOUT ROWID;

CREATE TABLE settles (
    sink        TEXT    NOT NULL,
    destination TEXT    NOT NULL,
    seq         INTEGER NOT NULL,
    offset      INTEGER NOT NULL,
    at          INTEGER NOT NULL
);
CREATE INDEX settles_by_position ON settles (sink, destination, seq, offset);

CREATE TABLE dead_letters (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    sink        TEXT    NOT NULL,
    destination TEXT    NOT NULL,
    stream      INTEGER NOT NULL REFERENCES streams (id),
    uid         TEXT    NOT NULL,
    event_id    TEXT    NOT NULL,
    fetched_at  INTEGER NOT NULL,
    reason      TEXT    NOT NULL,
    at          INTEGER NOT NULL,
    attempts    INTEGER NOT NULL DEFAULT 1,
    record      BLOB    NOT NULL
);
CREATE INDEX dead_letters_by_sink ON dead_letters (sink, id);

CREATE TABLE gaps (
    id      INTEGER PRIMARY KEY,
    stream  INTEGER NOT NULL REFERENCES streams (id),
    lane    TEXT    NOT NULL,
    started INTEGER NOT NULL,
    ended   INTEGER NOT NULL,
    token   TEXT,
    reason  TEXT    NOT NULL,
    at      INTEGER NOT NULL
);

CREATE TABLE jobs (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    kind    TEXT    NOT NULL,
    target  TEXT    NOT NULL,
    body    TEXT    NOT NULL,
    state   TEXT    NOT NULL,
    at      INTEGER NOT NULL
);

-- sink '' counts what was fetched.
CREATE TABLE daily (
    day    INTEGER NOT NULL,
    tenant TEXT    NOT NULL,
    feed   TEXT    NOT NULL,
    sink   TEXT    NOT NULL,
    events INTEGER NOT NULL,
    bytes  INTEGER NOT NULL,
    PRIMARY KEY (day, tenant, feed, sink)
) WITHOUT ROWID;
