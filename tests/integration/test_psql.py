"""psql, as people use it."""
import os
import pty
import select
import signal
import subprocess
import time

from support import PG_BIN, SLOW


def psql(target, *arguments, text=None, code=0, **more):
    done = subprocess.run([PG_BIN / "psql", "-X", *arguments], env=target.environment(**more),
                          input=text, capture_output=True, text=True, timeout=60 * SLOW,
                          check=False)
    assert done.returncode == code, done.stdout + done.stderr
    return done


def test_one_command(target):
    assert psql(target, "-Atc", "SELECT 6 * 7").stdout == "42\n"


def test_script_with_transactions(target, table):
    psql(target, "-v", "ON_ERROR_STOP=1", "-1", text=f"""
        INSERT INTO {table} VALUES (1, 'a');
        SAVEPOINT s;
        INSERT INTO {table} VALUES (2, 'b');
        ROLLBACK TO s;
        INSERT INTO {table} VALUES (3, 'c');
    """)
    assert psql(target, "-Atc", f"SELECT id FROM {table} ORDER BY id").stdout == "1\n3\n"


def test_error_and_exit_code(target):
    done = psql(target, "-v", "ON_ERROR_STOP=1", "-c", "SELECT 1/0", code=1)
    assert done.stderr.strip() == "ERROR:  division by zero"


def test_copy_in_and_out(target, table, tmp_path):
    source, result = tmp_path / "in.csv", tmp_path / "out.csv"
    source.write_text("".join(f"{n},value {n}\n" for n in range(1000)))
    psql(target, "-c", f"\\copy {table} FROM '{source}' WITH (FORMAT csv)")
    psql(target, "-c", f"\\copy (SELECT * FROM {table} ORDER BY id) TO '{result}' "
                       "WITH (FORMAT csv)")
    assert result.read_text() == source.read_text()


def test_copy_from_standard_input(target, table):
    psql(target, "-c", f"COPY {table} FROM STDIN", text="1\tx\n2\ty\n\\.\n")
    assert psql(target, "-Atc", f"SELECT count(*) FROM {table}").stdout == "2\n"


def test_describe_commands(target, table):
    for command in ("\\d", "\\dt+", f"\\d+ {table}", "\\du", "\\l", "\\df pg_sleep", "\\conninfo",
                    "\\dn", "\\dx", "\\z"):
        done = psql(target, "-c", command)
        assert "ERROR" not in done.stderr, command
    assert table in psql(target, "-c", "\\dt").stdout


def test_cursor_fetch_count(target):
    done = psql(target, "-At", "-v", "FETCH_COUNT=100",
                "-c", "SELECT generate_series(1, 1000)")
    assert done.stdout.split() == [str(n) for n in range(1, 1001)]


def test_gexec_and_variables(target, table):
    psql(target, text=f"\\set n 5\nSELECT format('INSERT INTO {table} VALUES (%s)', g) "
                      "FROM generate_series(1, :n) g \\gexec\n")
    assert psql(target, "-Atc", f"SELECT count(*) FROM {table}").stdout == "5\n"


def test_options_from_the_environment(target):
    done = psql(target, "-Atc", "/* weir: primary */ SELECT current_setting('work_mem')",
                PGOPTIONS="-c work_mem=12MB")
    assert done.stdout == "12MB\n"


def test_watch(target):
    """\\watch runs until it is stopped; Ctrl-C ends it, and psql lives on."""
    output = in_terminal(target, [("=> ", "SELECT 'tick' AS t \\watch 0.2\n"),
                                  ("tick", None), ("tick", "\x03"),
                                  ("=> ", "SELECT 'after' AS a;\n"), ("after", "\\q\n")])
    assert "after" in output


def test_interrupted_query(target):
    """Ctrl-C sends a CancelRequest; the session goes on."""
    output = in_terminal(target, [("=> ", "SELECT pg_sleep(60);\n"), (None, "\x03"),
                                  ("canceling statement due to user request", None),
                                  ("=> ", "SELECT 'after' AS a;\n"), ("after", "\\q\n")])
    assert "ERROR" in output


def in_terminal(target, dialogue):
    """Runs psql on a terminal: waits for each text (None: half a second), then types the answer."""
    environment = target.environment(TERM="dumb", PAGER="cat", PSQLRC="/dev/null")
    child, terminal = pty.fork()
    if child == 0:
        os.execvpe(PG_BIN / "psql", ["psql", "-X", "-n"], environment)
    seen, mark = "", 0
    try:
        for wanted, typed in dialogue:
            deadline = time.monotonic() + (20 * SLOW if wanted else 0.5)
            while time.monotonic() < deadline and not (wanted and wanted in seen[mark:]):
                if select.select([terminal], [], [], 0.05)[0]:
                    seen += os.read(terminal, 4096).decode(errors="replace")
            if wanted:
                assert wanted in seen[mark:], f"no {wanted!r} in {seen!r}"
                mark = seen.index(wanted, mark) + len(wanted)
            if typed:
                os.write(terminal, typed.encode())
        return seen
    finally:
        os.kill(child, signal.SIGTERM)
        os.close(terminal)
        os.waitpid(child, 0)
