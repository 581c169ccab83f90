-- What operators decided about tenants, and whose account a stream's positions belong to.

CREATE TABLE pauses (
    tenant TEXT PRIMARY KEY,
    at     INTEGER NOT NULL
) WITHOUT ROWID;

-- The identity is a hash of what names the account at the vendor.
CREATE TABLE accounts (
    stream   INTEGER PRIMARY KEY REFERENCES streams (id),
    identity TEXT NOT NULL
);
