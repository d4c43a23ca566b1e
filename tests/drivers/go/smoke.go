// pgx v4 through PGHOST:PGPORT: what its users do. Ends with exit code 0, or a panic.
package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgconn"
	"github.com/jackc/pgx/v4"
	"github.com/jackc/pgx/v4/pgxpool"
)

var ctx = context.Background()

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func check(holds bool, what string, values ...interface{}) {
	if !holds {
		panic(fmt.Sprintf(what, values...))
	}
}

func code(err error) string {
	var failed *pgconn.PgError
	if errors.As(err, &failed) {
		return failed.Code
	}
	return fmt.Sprint(err)
}

func types(conn *pgx.Conn) {
	var i int32
	var f float64
	var t string
	var b []byte
	var y bool
	var n *string
	var a []int32
	when := time.Date(2024, 2, 29, 12, 30, 0, 0, time.UTC)
	var d time.Time
	must(conn.QueryRow(ctx, "SELECT $1::int4, $2::float8, $3::text, $4::bytea, $5::bool, $6::text, "+
		"$7::int4[], $8::timestamptz", 7, 1.5, "tëxt ✓", []byte{0, 255}, true, nil, []int32{1, 2},
		when).Scan(&i, &f, &t, &b, &y, &n, &a, &d))
	check(i == 7 && f == 1.5 && t == "tëxt ✓" && len(b) == 2 && y && n == nil && len(a) == 2 &&
		d.Equal(when), "types: %v %v %v %v %v %v %v %v", i, f, t, b, y, n, a, d)
}

func statements(conn *pgx.Conn) {
	_, err := conn.Exec(ctx, "CREATE TABLE smoke_pgx (id int PRIMARY KEY, v text)")
	must(err)
	_, err = conn.Prepare(ctx, "get", "SELECT v FROM smoke_pgx WHERE id = $1")
	must(err)
	for n := 0; n < 50; n++ { // pgx prepares and caches every statement
		tag, err := conn.Exec(ctx, "INSERT INTO smoke_pgx VALUES ($1, $2)", n, fmt.Sprint("v", n))
		must(err)
		check(tag.RowsAffected() == 1, "inserted %d", tag.RowsAffected())
		var v string
		must(conn.QueryRow(ctx, "get", n).Scan(&v))
		check(v == fmt.Sprint("v", n), "got %s", v)
	}
}

func batch(conn *pgx.Conn) {
	batch := &pgx.Batch{}
	for n := 0; n < 100; n++ {
		batch.Queue("SELECT $1::int * 2", n)
	}
	results := conn.SendBatch(ctx, batch)
	for n := 0; n < 100; n++ {
		var got int
		must(results.QueryRow().Scan(&got))
		check(got == 2*n, "batch: %d", got)
	}
	must(results.Close())
}

func transactions(conn *pgx.Conn) {
	tx, err := conn.Begin(ctx)
	must(err)
	_, err = tx.Exec(ctx, "DELETE FROM smoke_pgx")
	must(err)
	nested, err := tx.Begin(ctx)
	must(err)
	_, err = nested.Exec(ctx, "SELECT 1/(random() * 0)::int")
	check(code(err) == "22012", "division: %s", code(err))
	must(nested.Rollback(ctx))
	must(tx.Rollback(ctx))
	var count int
	must(conn.QueryRow(ctx, "SELECT count(*) FROM smoke_pgx").Scan(&count))
	check(count == 50, "count %d", count)
}

func copying(conn *pgx.Conn) {
	rows := [][]interface{}{}
	for n := 1000; n < 2000; n++ {
		rows = append(rows, []interface{}{n, fmt.Sprint("v", n)})
	}
	count, err := conn.CopyFrom(ctx, pgx.Identifier{"smoke_pgx"}, []string{"id", "v"},
		pgx.CopyFromRows(rows))
	must(err)
	check(count == 1000, "copied %d", count)
	_, err = conn.Exec(ctx, "DROP TABLE smoke_pgx")
	must(err)
}

// A deadline in pgx closes the connection after a cancel request.
func cancels() {
	conn, err := pgx.Connect(ctx, "")
	must(err)
	short, stop := context.WithTimeout(ctx, 300*time.Millisecond)
	defer stop()
	_, err = conn.Exec(short, "SELECT pg_sleep(30)")
	check(err != nil, "no timeout")
	conn.Close(ctx)
}

func pooled() {
	pool, err := pgxpool.Connect(ctx, "pool_max_conns=10")
	must(err)
	defer pool.Close()
	var group sync.WaitGroup
	for n := 0; n < 200; n++ {
		group.Add(1)
		go func(n int) {
			defer group.Done()
			var got int
			must(pool.QueryRow(ctx, "SELECT $1::int", n).Scan(&got))
			check(got == n, "pool: %d", got)
		}(n)
	}
	group.Wait()
}

func main() {
	conn, err := pgx.Connect(ctx, "")
	must(err)
	_, err = conn.Exec(ctx, "DROP TABLE IF EXISTS smoke_pgx")
	must(err)
	types(conn)
	statements(conn)
	batch(conn)
	transactions(conn)
	copying(conn)
	must(conn.Close(ctx))
	cancels()
	pooled()
	fmt.Println("pgx ok")
}
