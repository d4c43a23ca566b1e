"""The console as pgAdmin and DBeaver see it: when they connect, and from their query tools.

The statements are theirs, word by word: pgAdmin 4's from web/pgadmin/utils/driver/psycopg3 and the
templates of its tree, DBeaver's as it sends them to a server.
"""
import psycopg
import pytest
from psycopg.rows import dict_row

# pgAdmin: Connection._initialize
SESSION = ("SET DateStyle=ISO; SET client_min_messages=notice; "
           "SELECT set_config('bytea_output','hex',false) FROM pg_settings"
           " WHERE name = 'bytea_output'; SET client_encoding='utf-8';")
THIS_DATABASE = """
SELECT
    db.oid as did, db.datname, db.datallowconn,
    pg_encoding_to_char(db.encoding) AS serverencoding,
    has_database_privilege(db.oid, 'CREATE') as cancreate,
    datistemplate
FROM
    pg_catalog.pg_database db
WHERE db.datname = current_database()"""
GSSAPI = """
        SELECT
             gss_authenticated, encrypted
        FROM
            pg_catalog.pg_stat_gssapi
        WHERE pid = pg_backend_pid()"""
THIS_USER = """
        SELECT
            roles.oid as id, roles.rolname as name,
            roles.rolsuper as is_superuser,
            CASE WHEN roles.rolsuper THEN true ELSE roles.rolcreaterole END as
            can_create_role,
            CASE WHEN roles.rolsuper THEN true
            ELSE roles.rolcreatedb END as can_create_db,
            CASE WHEN 'pg_signal_backend'=ANY(ARRAY(WITH RECURSIVE cte AS (
            SELECT pg_roles.oid,pg_roles.rolname FROM pg_roles
                WHERE pg_roles.oid = roles.oid
            UNION ALL
            SELECT m.roleid,pgr.rolname FROM cte cte_1
                JOIN pg_auth_members m ON m.member = cte_1.oid
                JOIN pg_roles pgr ON pgr.oid = m.roleid)
            SELECT rolname  FROM cte)) THEN True
            ELSE False END as can_signal_backend
        FROM
            pg_catalog.pg_roles as roles
        WHERE
            rolname = current_user"""
RECOVERY = """SELECT CASE WHEN usesuper
       THEN pg_catalog.pg_is_in_recovery()
       ELSE FALSE
       END as inrecovery,
       CASE WHEN usesuper AND pg_catalog.pg_is_in_recovery()
       THEN pg_is_wal_replay_paused()
       ELSE FALSE
       END as isreplaypaused
FROM pg_catalog.pg_user WHERE usename=current_user
"""
REPLICATION = """SELECT CASE
    WHEN (SELECT count(extname) FROM pg_catalog.pg_extension WHERE extname='bdr') > 0
    THEN 'pgd'
    WHEN (SELECT COUNT(*) FROM pg_replication_slots) > 0
    THEN 'log'
    ELSE NULL
END as type;
"""
PGAGENT = """
SELECT
    has_table_privilege(
      'pgagent.pga_job', 'INSERT, SELECT, UPDATE'
    ) has_priviledge
WHERE EXISTS(
    SELECT has_schema_privilege('pgagent', 'USAGE')
    WHERE EXISTS(
        SELECT cl.oid FROM pg_catalog.pg_class cl
        LEFT JOIN pg_catalog.pg_namespace ns ON ns.oid=relnamespace
        WHERE relname='pga_job' AND nspname='pgagent'
    )
)
"""
DATABASES = """SELECT
    db.oid as did, db.datname as name, ta.spcname as spcname, db.datallowconn,
    db.datistemplate AS is_template,
    pg_catalog.has_database_privilege(db.oid, 'CREATE') as cancreate, datdba as owner,
    descr.description
FROM
    pg_catalog.pg_database db
    LEFT OUTER JOIN pg_catalog.pg_tablespace ta ON db.dattablespace = ta.oid
    LEFT OUTER JOIN pg_catalog.pg_shdescription descr ON (
        db.oid=descr.objoid AND descr.classoid='pg_database'::regclass
    )
WHERE

    db.oid > 16383::OID OR db.datname IN ('postgres', 'edb')


ORDER BY datname;
"""
# pgAdmin: what the query tool calls the columns' types
TYPES = ("SELECT oid, pg_catalog.format_type(oid, NULL) AS typname FROM pg_catalog.pg_type "
         "WHERE oid = ANY(%s) ORDER BY oid;")
DASHBOARD = """/*pga4dash*/
SELECT 'session_stats' AS chart_name, pg_catalog.row_to_json(t) AS chart_data
FROM (SELECT
   (SELECT count(*) FROM pg_catalog.pg_stat_activity) AS "Total",
   (SELECT count(*) FROM pg_catalog.pg_stat_activity WHERE state = 'active')  AS "Active"
) t"""

DBEAVER_SCHEMAS = (
    "SELECT n.oid,n.*,d.description FROM pg_catalog.pg_namespace n LEFT OUTER JOIN "
    "pg_catalog.pg_description d ON d.objoid=n.oid AND d.objsubid=0 AND "
    "d.classoid='pg_namespace'::regclass ORDER BY nspname")
DBEAVER_TYPES = (
    "SELECT t.oid,t.*,c.relkind,format_type(nullif(t.typbasetype, 0), t.typtypmod) as "
    "base_type_name, d.description FROM pg_catalog.pg_type t LEFT OUTER JOIN "
    "pg_catalog.pg_type et ON et.oid=t.typelem LEFT OUTER JOIN pg_catalog.pg_class c ON "
    "c.oid=t.typrelid LEFT OUTER JOIN pg_catalog.pg_description d ON t.oid=d.objoid WHERE "
    "t.typname IS NOT NULL AND (c.relkind IS NULL OR c.relkind = 'c') AND (et.typcategory IS NULL "
    "OR et.typcategory <> 'C')")
DBEAVER_KEYWORDS = (
    "SELECT string_agg(word, ',' ) from pg_catalog.pg_get_keywords() where word <> ALL "
    "('{a,abs,absolute,action}'::text[])")
DBEAVER_TABLES = """SELECT c.oid,c.*,d.description,
pg_catalog.pg_get_expr(c.relpartbound, c.oid) as partition_expr,
pg_catalog.pg_get_partkeydef(c.oid) as partition_key
FROM pg_catalog.pg_class c
LEFT OUTER JOIN pg_catalog.pg_description d ON d.objoid=c.oid AND d.objsubid=0
  AND d.classoid='pg_class'::regclass
WHERE c.relnamespace=%s AND c.relkind not in ('i','I','c')"""
DBEAVER_COLUMNS = """SELECT c.relname,a.*,
pg_catalog.pg_get_expr(ad.adbin, ad.adrelid, true) as def_value,dsc.description,dep.objid
FROM pg_catalog.pg_attribute a
INNER JOIN pg_catalog.pg_class c ON (a.attrelid=c.oid)
LEFT OUTER JOIN pg_catalog.pg_attrdef ad ON (a.attrelid=ad.adrelid AND a.attnum = ad.adnum)
LEFT OUTER JOIN pg_catalog.pg_description dsc ON (c.oid=dsc.objoid AND a.attnum = dsc.objsubid)
LEFT OUTER JOIN pg_depend dep on dep.refobjid = a.attrelid AND dep.deptype = 'i'
  and dep.refobjsubid = a.attnum and dep.classid = dep.refclassid
WHERE NOT a.attisdropped AND c.oid=%s ORDER BY a.attnum"""


@pytest.fixture
def tool(weir):
    """As pgAdmin connects: psycopg, rows by their columns' names."""
    with psycopg.connect(weir.conninfo(user="admin", database="weir",
                                       application_name="pgAdmin 4 - CONN:1"),
                         autocommit=True, row_factory=dict_row) as connection:
        yield connection


def only(tool, sql, parameters=None):
    (row,) = tool.execute(sql, parameters).fetchall()
    return row


def test_pgadmin_connects(tool):
    cursor = tool.execute(SESSION)
    while cursor.description is None:
        assert cursor.nextset()
    assert cursor.fetchall() == [{"set_config": "hex"}]
    assert tool.execute("SELECT rolname from pg_roles WHERE rolname = 'reader'").fetchall() == []
    assert only(tool, "SELECT version()")["version"].startswith("PostgreSQL ")
    assert tool.info.server_version >= 120000
    this = only(tool, THIS_DATABASE)
    assert (this["datname"], this["datallowconn"], this["serverencoding"]) == \
        ("weir", True, "UTF8")
    assert not this["datistemplate"]
    assert tool.execute(GSSAPI).rowcount == 0
    user = only(tool, THIS_USER)
    assert not any(user[right] for right in user if right not in ("id", "name"))
    assert not any(only(tool, RECOVERY).values())
    assert only(tool, REPLICATION) == {"type": None}
    assert tool.execute(PGAGENT).fetchall() == []
    (listed,) = tool.execute(DATABASES).fetchall()
    assert (listed["did"], listed["name"]) == (this["did"], "weir")


def test_pgadmins_query_tool(weir, tool):
    with weir.connect() as client:
        client.query("SELECT 1")
        cursor = tool.execute("SELECT database, cl_active, count(*) FROM pools "
                              "WHERE database = 'app' GROUP BY 1, 2 ORDER BY 1, 2 DESC")
        assert [column.name for column in cursor.description] == ["database", "cl_active", "count"]
        assert cursor.fetchone()["cl_active"] >= 1
    types = tool.execute(TYPES, [[column.type_code for column in cursor.description]])
    assert [row["typname"] for row in types] == ["bigint", "integer", "text"]
    tool.execute("BEGIN;")  # with auto commit off
    assert tool.execute("SHOW POOLS").fetchall()
    with pytest.raises(psycopg.errors.UndefinedTable):
        tool.execute("SELECT * FROM nonesuch")
    tool.execute("ROLLBACK;")
    assert only(tool, "SELECT 1") == {"?column?": 1}


def test_what_makes_no_sense_is_an_error_and_no_more(tool):
    for sql in (DASHBOARD, "SELECT pg_cancel_backend(17);", "EXPLAIN SELECT 1", "CREATE TABLE t ()",
                "SELECT * FROM pg_stat_bgwriter", "LISTEN x", "COPY pools TO STDOUT"):
        with pytest.raises(psycopg.Error) as failed:
            tool.execute(sql)
        assert failed.value.sqlstate, sql
        assert only(tool, "SELECT 1") == {"?column?": 1}, sql


def test_dbeaver_connects_and_lists_tables(tool):
    tool.execute("SET extra_float_digits = 3")
    tool.execute("SET application_name = 'DBeaver 25.1.5 - Main <weir>'")
    assert only(tool, "SELECT current_schema(),session_user") == \
        {"current_schema": "public", "session_user": "weir"}
    assert only(tool, "SHOW search_path") == {"search_path": "public"}
    this = only(tool, "SELECT db.oid,db.* FROM pg_catalog.pg_database db WHERE datname=%s",
                ["weir"])
    assert this["datallowconn"] is True and this["datistemplate"] is False
    schemas = {row["nspname"]: row["oid"] for row in tool.execute(DBEAVER_SCHEMAS)}
    assert {"public", "pg_catalog"} <= set(schemas)
    setting = only(tool, "SELECT * FROM pg_catalog.pg_settings where "
                         "name='standard_conforming_strings'")
    assert setting["setting"] == "on"
    tool.execute(DBEAVER_KEYWORDS)
    for probe in ("SELECT * FROM pg_catalog.pg_enum WHERE 1<>1 LIMIT 1",
                  "SELECT reltype FROM pg_catalog.pg_class WHERE 1<>1 LIMIT 1"):
        assert tool.execute(probe).fetchall() == []
    types = {row["oid"]: row["typname"] for row in tool.execute(DBEAVER_TYPES)}
    tables = {row["relname"]: row["oid"]
              for row in tool.execute(DBEAVER_TABLES, [schemas["public"]])}
    assert {"pools", "hosts", "clients"} <= set(tables)
    columns = {row["attname"]: types[row["atttypid"]]
               for row in tool.execute(DBEAVER_COLUMNS, [tables["hosts"]])}
    assert columns["host"] == "text" and columns["reads"] == "bool"
    rows = tool.execute("SELECT x.* FROM public.hosts x LIMIT 200").fetchall()
    assert len(rows) == 3 and set(columns) == set(rows[0])


def test_cursors_as_pgadmins_query_tool_may_use_them(tool):
    names = [row["key"] for row in tool.execute("SELECT key FROM config ORDER BY key")]
    with tool.transaction():
        with tool.cursor(name="CURSOR:CONN:1", scrollable=True) as cursor:
            cursor.execute("SELECT key FROM config WHERE key <> %s ORDER BY key", ["nonesuch"])
            assert [column.name for column in cursor.description] == ["key"]
            assert [row["key"] for row in cursor.fetchmany(3)] == names[:3]
            cursor.scroll(2)
            assert cursor.fetchone()["key"] == names[5]
            cursor.scroll(1, mode="absolute")
            assert [row["key"] for row in cursor.fetchall()] == names[1:]
            assert cursor.fetchone() is None
        cursor = tool.cursor(name="left open")
        cursor.itersize = 7
        cursor.execute("SHOW CONFIG")
        assert sorted(row["key"] for row in cursor) == names
        cursor = tool.cursor(name="binary", binary=True)
        cursor.execute("SELECT 1")
        with pytest.raises(psycopg.errors.FeatureNotSupported), tool.transaction():
            cursor.fetchone()
    with pytest.raises(psycopg.errors.NoActiveSqlTransaction):
        tool.cursor(name="alone").execute("SELECT 1")
    with tool.cursor(name="held", withhold=True) as cursor:
        cursor.execute("SELECT key FROM config ORDER BY key")
        tool.execute("SELECT 1")
        assert len(cursor.fetchall()) == len(names)
    with pytest.raises(psycopg.errors.InvalidCursorName):
        tool.execute("FETCH 1 FROM held")
