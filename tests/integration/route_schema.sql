-- What the statements of route_table.txt are about: objects whose nature only the catalog knows.
-- Run by the superuser in a database of its own; the statements are run by the role "router".

CREATE EXTENSION dblink;
CREATE EXTENSION file_fdw;
CREATE EXTENSION postgres_fdw;
CREATE EXTENSION pgcrypto;
CREATE EXTENSION pg_trgm;
CREATE EXTENSION hstore;
CREATE EXTENSION citext;
CREATE EXTENSION tablefunc;
CREATE EXTENSION tsm_system_rows;
CREATE EXTENSION pg_stat_statements;

-- Tables ------------------------------------------------------------------------------------------

CREATE TABLE item (id int PRIMARY KEY, name text, price numeric, tags text[], doc jsonb,
                   at timestamptz DEFAULT now(), parent int);
INSERT INTO item SELECT n, 'item ' || n, n * 1.5, ARRAY['a', 'b'], '{"a": [1, 2], "b": {"c": "x"}}',
                        now(), nullif(n - 1, 0) FROM generate_series(1, 20) n;
CREATE TABLE sale (id int, item_id int, qty int, day date);
INSERT INTO sale SELECT n, n % 5 + 1, n, date '2024-01-01' + n FROM generate_series(1, 20) n;
CREATE TABLE "Select" ("update" int, "from" text);
CREATE TABLE insert_log (id int, note text);
CREATE TABLE ticket (id serial PRIMARY KEY, note text);
CREATE TABLE numbered (id int GENERATED ALWAYS AS IDENTITY, note text);
CREATE TABLE area (w int, h int, size int GENERATED ALWAYS AS (w * h) STORED);
CREATE TABLE parent (id int);
CREATE TABLE child () INHERITS (parent);
CREATE TABLE person (name citext, facts hstore, page xml, words tsvector);
INSERT INTO person VALUES ('Ann', 'a=>1', '<a><b>1</b></a>', to_tsvector('simple', 'some words'));
CREATE TABLE pg_stat_mine (id int);
CREATE INDEX item_gin ON item USING gin (tags);
CREATE INDEX sale_brin ON sale USING brin (id);
CREATE SEQUENCE counter;
CREATE UNLOGGED SEQUENCE u_counter;

-- Functions: what the catalog calls them, and what they do ----------------------------------------

-- draw writes; calm does not, but says nothing about it, which means VOLATILE.
CREATE FUNCTION draw() RETURNS bigint LANGUAGE sql VOLATILE AS $$ SELECT nextval('counter') $$;
CREATE FUNCTION draw(n int) RETURNS bigint LANGUAGE plpgsql VOLATILE AS
  $$ BEGIN RETURN nextval('counter') + n; END $$;
CREATE FUNCTION calm() RETURNS int LANGUAGE sql AS $$ SELECT 1 $$;
CREATE FUNCTION calm_pl(n int) RETURNS int LANGUAGE plpgsql AS $$ BEGIN RETURN n; END $$;
CREATE FUNCTION note(text) RETURNS int LANGUAGE plpgsql AS
  $$ BEGIN INSERT INTO insert_log VALUES (1, $1); RETURN 1; END $$;
CREATE FUNCTION rate() RETURNS numeric LANGUAGE sql STABLE AS $$ SELECT max(price) FROM item $$;
CREATE FUNCTION rate_pl(n int) RETURNS numeric LANGUAGE plpgsql STABLE AS
  $$ BEGIN RETURN (SELECT price FROM item WHERE id = n); END $$;
CREATE FUNCTION twice(n int) RETURNS int LANGUAGE sql IMMUTABLE AS $$ SELECT 2 * n $$;
CREATE FUNCTION twice_pl(n int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS
  $$ BEGIN RETURN 2 * n; END $$;
CREATE FUNCTION pure(n int) RETURNS int IMMUTABLE RETURN n + 1;  -- SQL-standard body
CREATE FUNCTION "Rate Of"(n int) RETURNS int LANGUAGE sql STABLE AS $$ SELECT n $$;
CREATE FUNCTION changed_mind() RETURNS int LANGUAGE sql AS $$ SELECT 1 $$;
ALTER FUNCTION changed_mind() STABLE;

-- Overloads: by type only, by number of arguments, by schema.
CREATE FUNCTION over(int) RETURNS int LANGUAGE sql IMMUTABLE AS $$ SELECT $1 $$;
CREATE FUNCTION over(text) RETURNS bigint LANGUAGE sql VOLATILE AS $$ SELECT nextval('counter') $$;
CREATE FUNCTION over(int, int) RETURNS int LANGUAGE sql IMMUTABLE AS $$ SELECT $1 + $2 $$;
CREATE FUNCTION count_args(int) RETURNS int LANGUAGE sql STABLE AS $$ SELECT 1 $$;
CREATE FUNCTION count_args(int, int) RETURNS bigint LANGUAGE sql AS
  $$ SELECT nextval('counter') $$;
CREATE FUNCTION initcap(item) RETURNS bigint LANGUAGE sql VOLATILE AS
  $$ SELECT nextval('counter') $$;

-- Defaults, variadic and named arguments.
CREATE FUNCTION discount(a int, b int DEFAULT 2, c int DEFAULT 3) RETURNS int LANGUAGE sql STABLE
  AS $$ SELECT a + b + c $$;
CREATE FUNCTION late(a int, b bigint DEFAULT draw()) RETURNS bigint LANGUAGE sql STABLE
  AS $$ SELECT a + b $$;
CREATE FUNCTION draw_defaults(a int, b int DEFAULT 2) RETURNS bigint LANGUAGE sql VOLATILE
  AS $$ SELECT nextval('counter') $$;
CREATE FUNCTION total(VARIADIC n int[]) RETURNS bigint LANGUAGE sql STABLE
  AS $$ SELECT sum(x) FROM unnest(n) x $$;
CREATE FUNCTION draw_all(VARIADIC n int[]) RETURNS bigint LANGUAGE sql VOLATILE
  AS $$ SELECT nextval('counter') $$;

-- Sets, rows, OUT parameters, functions written as fields.
CREATE FUNCTION cheap(max_price numeric) RETURNS SETOF item LANGUAGE sql STABLE
  AS $$ SELECT * FROM item WHERE price < max_price $$;
CREATE FUNCTION pairs(OUT a int, OUT b int) RETURNS SETOF record LANGUAGE sql STABLE
  AS $$ SELECT 1, 2 $$;
CREATE FUNCTION draws(n int) RETURNS SETOF bigint LANGUAGE sql VOLATILE
  AS $$ SELECT nextval('counter') FROM generate_series(1, n) $$;
CREATE FUNCTION label(item) RETURNS text LANGUAGE sql STABLE AS $$ SELECT $1.name || '!' $$;
CREATE FUNCTION touch(item) RETURNS bigint LANGUAGE sql VOLATILE AS $$ SELECT nextval('counter') $$;

-- Aggregates and window functions: the catalog calls every aggregate immutable.
CREATE FUNCTION add_noted(bigint, int) RETURNS bigint LANGUAGE sql VOLATILE AS
  $$ SELECT nextval('counter') $$;
CREATE FUNCTION add_plain(bigint, int) RETURNS bigint LANGUAGE sql IMMUTABLE AS
  $$ SELECT coalesce($1, 0) + coalesce($2, 0) $$;
CREATE AGGREGATE noted_sum(int) (sfunc = add_noted, stype = bigint, initcond = '0');
CREATE AGGREGATE plain_sum(int) (sfunc = add_plain, stype = bigint, initcond = '0');

CREATE PROCEDURE keep(n int) LANGUAGE sql AS $$ INSERT INTO insert_log VALUES (n, 'kept') $$;
CREATE PROCEDURE idle() LANGUAGE plpgsql AS $$ BEGIN END $$;
CREATE PROCEDURE idle_out(INOUT n int) LANGUAGE plpgsql AS $$ BEGIN n := 1; END $$;

-- Operators, casts, domains over functions --------------------------------------------------------

CREATE FUNCTION draw_two(int, int) RETURNS bigint LANGUAGE sql VOLATILE AS
  $$ SELECT nextval('counter') $$;
CREATE FUNCTION near(int, int) RETURNS boolean LANGUAGE sql IMMUTABLE AS
  $$ SELECT abs($1 - $2) < 3 $$;
CREATE FUNCTION drawn_near(int, int) RETURNS boolean LANGUAGE sql VOLATILE AS
  $$ SELECT nextval('counter') > 0 $$;
CREATE OPERATOR <+> (leftarg = int, rightarg = int, function = draw_two);
CREATE OPERATOR !!! (rightarg = int, function = draw);
CREATE OPERATOR ~~~ (leftarg = int, rightarg = int, function = near);
CREATE OPERATOR ~?~ (leftarg = int, rightarg = int, function = drawn_near);

CREATE TYPE celsius AS (degrees int);
CREATE TYPE kelvin AS (degrees int);
CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
CREATE FUNCTION to_kelvin(celsius) RETURNS kelvin LANGUAGE sql VOLATILE AS
  $$ SELECT ROW(nextval('counter'))::kelvin $$;
CREATE FUNCTION to_celsius(kelvin) RETURNS celsius LANGUAGE sql IMMUTABLE AS
  $$ SELECT ROW(($1).degrees - 273)::celsius $$;
CREATE CAST (celsius AS kelvin) WITH FUNCTION to_kelvin(celsius) AS IMPLICIT;
CREATE CAST (kelvin AS celsius) WITH FUNCTION to_celsius(kelvin);
CREATE FUNCTION heat(kelvin) RETURNS int LANGUAGE sql IMMUTABLE AS $$ SELECT ($1).degrees $$;

CREATE FUNCTION noted(int) RETURNS boolean LANGUAGE sql VOLATILE AS
  $$ SELECT nextval('counter') > 0 $$;
CREATE DOMAIN positive AS int CHECK (VALUE > 0);
CREATE DOMAIN noted_int AS int CHECK (noted(VALUE));
CREATE DOMAIN noted_deep AS noted_int CHECK (VALUE > 0);

-- Views -------------------------------------------------------------------------------------------

CREATE VIEW v_item AS SELECT id, name FROM item;
CREATE VIEW v_v_item AS SELECT * FROM v_item WHERE id > 1;
CREATE VIEW v_rate AS SELECT id, rate() AS rate FROM item;
CREATE VIEW v_random AS SELECT random() AS r, clock_timestamp() AS now;
CREATE VIEW v_barrier WITH (security_barrier) AS SELECT * FROM item WHERE price > 2;
CREATE RECURSIVE VIEW v_chain (n) AS
  SELECT 1 UNION ALL SELECT n + 1 FROM v_chain WHERE n < 5;
CREATE VIEW v_draw AS SELECT id, draw() AS n FROM item;
CREATE VIEW v_v_draw AS SELECT n FROM v_draw;
CREATE VIEW v_next AS SELECT nextval('counter') AS n;
CREATE VIEW v_where AS SELECT id FROM item WHERE note(name) = 1;
CREATE VIEW v_sub AS SELECT (SELECT max(d) FROM draws(2) d) AS n;
CREATE VIEW v_operator AS SELECT id <+> 1 AS n FROM item;
CREATE VIEW v_cast AS SELECT ROW(1)::celsius::kelvin AS k;
CREATE VIEW v_domain AS SELECT id::noted_int AS n FROM item;
CREATE VIEW v_locked AS SELECT id FROM item FOR UPDATE;
CREATE VIEW v_aggregate AS SELECT noted_sum(id) AS n FROM item;
CREATE VIEW v_activity AS SELECT pid FROM pg_stat_activity;
CREATE VIEW v_editable AS SELECT id, name FROM item;
CREATE FUNCTION on_edit() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;
CREATE TRIGGER edit INSTEAD OF INSERT ON v_editable FOR EACH ROW EXECUTE FUNCTION on_edit();
CREATE MATERIALIZED VIEW m_item AS SELECT id, name FROM item;
CREATE MATERIALIZED VIEW m_draw AS SELECT draw() AS n;
CREATE UNIQUE INDEX ON m_item (id);
CREATE VIEW v_m_draw AS SELECT n FROM m_draw;
CREATE TABLE drawn_default (id int, n bigint DEFAULT draw());
CREATE TABLE ruled (id int);
CREATE RULE nothing AS ON INSERT TO ruled DO INSTEAD NOTHING;
CREATE RULE logged AS ON UPDATE TO ruled DO ALSO INSERT INTO insert_log VALUES (1, 'rule');

-- What no replica holds ---------------------------------------------------------------------------

CREATE UNLOGGED TABLE u_item (id int, name text);
CREATE VIEW v_unlogged AS SELECT id FROM u_item;
CREATE FUNCTION of_unlogged() RETURNS bigint LANGUAGE sql STABLE AS
  $$ SELECT count(*) FROM u_item $$;
CREATE TABLE parted (id int, day date) PARTITION BY RANGE (id);
CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM (0) TO (10);
CREATE UNLOGGED TABLE parted_2 PARTITION OF parted FOR VALUES FROM (10) TO (20);
CREATE VIEW v_parted AS SELECT * FROM parted;
CREATE TABLE deep (id int, k int) PARTITION BY LIST (id);
CREATE TABLE deep_1 PARTITION OF deep FOR VALUES IN (1) PARTITION BY LIST (k);
CREATE UNLOGGED TABLE deep_1_1 PARTITION OF deep_1 FOR VALUES IN (1);
CREATE TABLE whole (id int) PARTITION BY HASH (id);
CREATE TABLE whole_0 PARTITION OF whole FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE whole_1 PARTITION OF whole FOR VALUES WITH (MODULUS 2, REMAINDER 1);
CREATE TABLE heir_base (id int);
CREATE UNLOGGED TABLE heir () INHERITS (heir_base);
CREATE SERVER files FOREIGN DATA WRAPPER file_fdw;
CREATE FOREIGN TABLE f_file (line text) SERVER files
  OPTIONS (filename '/etc/debian_version', format 'text');
CREATE VIEW v_foreign AS SELECT line FROM f_file;
CREATE TABLE mixed (id text) PARTITION BY LIST (id);
CREATE TABLE mixed_a PARTITION OF mixed FOR VALUES IN ('a');
CREATE FOREIGN TABLE mixed_b PARTITION OF mixed FOR VALUES IN ('b') SERVER files
  OPTIONS (filename '/etc/debian_version', format 'text');

-- Row security ------------------------------------------------------------------------------------

CREATE FUNCTION allowed(int) RETURNS boolean LANGUAGE plpgsql VOLATILE SECURITY DEFINER AS
  $$ BEGIN INSERT INTO insert_log VALUES ($1, 'seen'); RETURN true; END $$;
CREATE TABLE secret (id int);
INSERT INTO secret VALUES (1);
ALTER TABLE secret ENABLE ROW LEVEL SECURITY;
CREATE POLICY audit ON secret USING (allowed(id));
CREATE TABLE own_rows (id int, who text);
ALTER TABLE own_rows ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON own_rows USING (who = current_user AND rate() > 0);
CREATE TABLE dormant (id int);  -- the policy is there, row security is not on
INSERT INTO dormant VALUES (1);
CREATE POLICY audit ON dormant USING (allowed(id));

-- Other schemas -----------------------------------------------------------------------------------

CREATE SCHEMA shadow;
CREATE FUNCTION shadow.lower(text) RETURNS text LANGUAGE plpgsql VOLATILE AS
  $$ BEGIN PERFORM nextval('public.counter'); RETURN $1; END $$;
CREATE FUNCTION shadow.abs(int) RETURNS int LANGUAGE sql VOLATILE AS
  $$ SELECT nextval('public.counter')::int $$;
CREATE FUNCTION shadow.twice(n int) RETURNS bigint LANGUAGE sql VOLATILE AS
  $$ SELECT nextval('public.counter') $$;
CREATE FUNCTION shadow.is_plus(int, int) RETURNS bigint LANGUAGE sql VOLATILE AS
  $$ SELECT nextval('public.counter') $$;
CREATE OPERATOR shadow.+ (leftarg = int, rightarg = int, function = shadow.is_plus);
CREATE TABLE shadow.pg_locks (id int);
CREATE UNLOGGED TABLE shadow.item (id int, name text);
CREATE VIEW shadow.pg_class AS SELECT nextval('public.counter') AS n;
CREATE SCHEMA tidy;
CREATE FUNCTION tidy.nextval(text) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT $1 $$;
CREATE FUNCTION tidy.setval(int, int) RETURNS int LANGUAGE sql STABLE AS $$ SELECT $1 $$;

-- A large object, a role for all of it ------------------------------------------------------------

SELECT lo_from_bytea(4242, 'some bytes');
ALTER LARGE OBJECT 4242 OWNER TO router;
GRANT ALL ON ALL TABLES IN SCHEMA public, shadow TO router;
GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO router;
GRANT ALL ON SCHEMA public, shadow, tidy TO router;
GRANT USAGE ON FOREIGN SERVER files TO router;
GRANT EXECUTE ON FUNCTION pg_switch_wal(), pg_reload_conf(), pg_create_restore_point(text),
  pg_stat_reset(), pg_read_file(text), lo_export(oid, text), lo_import(text) TO router;
ALTER TABLE ticket OWNER TO router;
ALTER TABLE m_item OWNER TO router;
ALTER TABLE m_draw OWNER TO router;
ALTER TABLE insert_log OWNER TO router;
ALTER TABLE area OWNER TO router;
ALTER TABLE item OWNER TO router;
ALTER TABLE sale OWNER TO router;
ALTER SEQUENCE counter OWNER TO router;
ALTER FUNCTION calm() OWNER TO router;
