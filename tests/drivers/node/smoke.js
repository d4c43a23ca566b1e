// node-postgres through PGHOST:PGPORT: what its users do. Ends with exit code 0, or a stack trace.
// Run by tests/integration/test_drivers.py where `npm ci` has put the packages.
'use strict'
const assert = require('assert')
const { Client, Pool } = require('pg')
const Cursor = require('pg-cursor')

async function types(client) {
  const sql = 'SELECT $1::int4 AS i, $2::text AS t, $3::jsonb AS j, $4::bytea AS b, ' +
    '$5::int4[] AS a, $6::bool AS y, $7::text AS n, $8::timestamptz AS d'
  const when = new Date('2024-02-29T12:30:00Z')
  const result = await client.query(sql, [7, 'tëxt ✓', { a: 1 }, Buffer.from([0, 255]), [1, 2],
    true, null, when])
  assert.deepStrictEqual({ ...result.rows[0] }, { i: 7, t: 'tëxt ✓', j: { a: 1 },
    b: Buffer.from([0, 255]), a: [1, 2], y: true, n: null, d: when })
}

async function statements(client) {
  await client.query('CREATE TABLE smoke_node (id int PRIMARY KEY, v text)')
  for (let n = 0; n < 50; n++) {
    await client.query({ name: 'put', text: 'INSERT INTO smoke_node VALUES ($1, $2)',
      values: [n, 'v' + n] })
    const found = await client.query({ name: 'get', text: 'SELECT v FROM smoke_node WHERE id = $1',
      values: [n] })
    assert.strictEqual(found.rows[0].v, 'v' + n)
  }
  const both = await client.query('SELECT 1 AS a; SELECT 2 AS b')
  assert.deepStrictEqual(both.map(result => result.rowCount), [1, 1])
  const numbers = [...Array(50).keys()]
  const many = await Promise.all(numbers.map(n => client.query('SELECT $1::int AS n', [n])))
  many.forEach((result, n) => assert.strictEqual(result.rows[0].n, n))
}

async function transactions(client) {
  await client.query('BEGIN')
  await client.query('DELETE FROM smoke_node')
  await assert.rejects(client.query('SELECT 1/0'), { code: '22012' })
  await assert.rejects(client.query('SELECT 1'), { code: '25P02' })
  await client.query('ROLLBACK')
  const count = await client.query('SELECT count(*)::int AS n FROM smoke_node')
  assert.strictEqual(count.rows[0].n, 50)
}

async function cursors(client) {
  await client.query('BEGIN')
  const cursor = client.query(new Cursor('SELECT generate_series(1, 100) AS n'))
  assert.strictEqual((await cursor.read(30)).length, 30)
  assert.strictEqual((await cursor.read(100)).length, 70)
  await cursor.close()
  await client.query('COMMIT')
}

async function listening(client) {
  const heard = new Promise(resolve => client.once('notification', resolve))
  await client.query('LISTEN smoke_node')
  await client.query("SELECT pg_notify('smoke_node', 'hello')")
  assert.strictEqual((await heard).payload, 'hello')
  await client.query('UNLISTEN *')
}

async function timeouts(client) {
  await client.query("SET statement_timeout TO '300ms'")
  await assert.rejects(client.query('SELECT pg_sleep(30)'), { code: '57014' })
  await client.query('RESET statement_timeout')
}

async function pooled() {
  const pool = new Pool({ max: 10 })
  await Promise.all([...Array(200).keys()].map(async n => {
    const result = await pool.query('SELECT $1::int AS n', [n])
    assert.strictEqual(result.rows[0].n, n)
  }))
  await pool.end()
}

async function main() {
  const client = new Client()
  await client.connect()
  await client.query('DROP TABLE IF EXISTS smoke_node')
  for (const part of [types, statements, transactions, cursors, listening, timeouts]) {
    await part(client)
  }
  await client.query('DROP TABLE smoke_node')
  await client.end()
  await pooled()
  console.log('node ok')
}

main().catch(error => { console.error(error); process.exit(1) })
