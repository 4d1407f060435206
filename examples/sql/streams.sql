-- A table that a StreamPool can read. Only id, url and active are needed; the names are the defaults of
-- spec.source.postgres.columns, and any table or view will do whose columns are named there.
CREATE TABLE streams (
    id           text        PRIMARY KEY CHECK (id <> '' AND length(id) <= 253),
    url          text        NOT NULL CHECK (url ~* '^https?://[^/?#[:space:]]'),
    name         text        NOT NULL DEFAULT '',
    active       boolean     NOT NULL DEFAULT true,
    updated_at   timestamptz NOT NULL DEFAULT now(),
    -- Handed to the worker as it is: at most 16 keys with texts, numbers or booleans.
    metadata     jsonb       NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(metadata) = 'object'),
    -- Read only where spec.source.postgres.columns names them.
    location     text,
    capabilities text[]      NOT NULL DEFAULT '{}',
    weight       integer     NOT NULL DEFAULT 1 CHECK (weight BETWEEN 1 AND 1000)
);
