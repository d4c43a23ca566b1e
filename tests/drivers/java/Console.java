// The console by PostgreSQL's JDBC driver, as programs and people's tools use it. Ends with 0, or
// an exception.
import java.sql.Connection;
import java.sql.DatabaseMetaData;
import java.sql.DriverManager;
import java.sql.ParameterMetaData;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.ResultSetMetaData;
import java.sql.SQLException;
import java.sql.Savepoint;
import java.sql.Statement;
import java.sql.Timestamp;
import java.sql.Types;
import java.time.OffsetDateTime;
import java.util.ArrayList;
import java.util.List;
import java.util.Properties;
import org.postgresql.PGConnection;
import org.postgresql.jdbc.AutoSave;
import org.postgresql.jdbc.PreferQueryMode;

public class Console {
  static final String PGDATABASE = System.getenv("PGDATABASE");

  static void check(boolean holds, String what) {
    if (!holds) throw new AssertionError(what);
  }

  static Connection connect(String... more) throws SQLException {
    Properties how = new Properties();
    how.setProperty("user", System.getenv("PGUSER"));
    how.setProperty("password", System.getenv("PGPASSWORD"));
    how.setProperty("sslmode", "disable");
    how.setProperty("gssEncMode", "disable");
    for (int n = 0; n < more.length; n += 2) how.setProperty(more[n], more[n + 1]);
    return DriverManager.getConnection("jdbc:postgresql://" + System.getenv("PGHOST") + ":"
        + System.getenv("PGPORT") + "/" + PGDATABASE, how);
  }

  static boolean isSimple(Connection connection) throws SQLException {
    return connection.unwrap(PGConnection.class).getPreferQueryMode() == PreferQueryMode.SIMPLE;
  }

  static void show(Connection connection) throws SQLException {
    try (Statement statement = connection.createStatement();
        ResultSet rows = statement.executeQuery("SHOW POOLS")) {
      check(rows.getMetaData().getColumnName(1).equals("database"), "first column");
      boolean own = false;
      while (rows.next()) {
        own |= rows.getString("database").equals("app") && rows.getString("user").equals("app");
        check(rows.getLong("cl_active") >= 0 && rows.getInt("sv_active") >= 0, "counts");
      }
      check(own, "no pool");
    }
    try (PreparedStatement statement = connection.prepareStatement("SHOW DATABASES")) {
      for (int n = 0; n < 8; n++) {
        try (ResultSet rows = statement.executeQuery()) {
          check(rows.next() && rows.getInt("paused") == 0, "databases");
        }
      }
    }
  }

  // Each statement often enough to be named on the server, and its answers binary.
  static void parameters(Connection connection) throws SQLException {
    boolean simple = isSimple(connection);  // a bool is a text then, which no bool equals here
    String paused = simple ? "(paused AND 'TRUE' = ? OR NOT paused AND 'FALSE' = ?)" : "paused = ?";
    try (PreparedStatement statement = connection.prepareStatement(
        "SELECT name, pool_size FROM databases"
            + " WHERE name = ? AND pool_size > ? AND pool_size < ? AND " + paused)) {
      if (!simple) {
        ParameterMetaData known = statement.getParameterMetaData();
        check(known.getParameterCount() == 4, "parameters " + known.getParameterCount());
      }
      for (int n = 0; n < 10; n++) {
        statement.setString(1, n % 2 == 0 ? "app" : "other");
        statement.setInt(2, 1);
        statement.setLong(3, 1L << 40);
        statement.setBoolean(4, false);
        if (simple) statement.setBoolean(5, false);
        try (ResultSet rows = statement.executeQuery()) {
          check(rows.next(), "no row at " + n);
          check(rows.getString(1).equals(n % 2 == 0 ? "app" : "other"), "name at " + n);
          check(rows.getInt(2) == 20 && rows.getLong("pool_size") == 20, "size at " + n);
          check(!rows.next(), "two rows at " + n);
        }
        statement.setBoolean(4, true);
        if (simple) statement.setBoolean(5, true);
        try (ResultSet rows = statement.executeQuery()) {
          check(!rows.next(), "paused at " + n);
        }
      }
    }
    try (PreparedStatement statement = connection.prepareStatement("SELECT ?, ?, ?, ?, ?")) {
      for (int n = 0; n < 10; n++) {
        statement.setInt(1, n);
        statement.setString(2, "tëxt ✓");
        statement.setDouble(3, 1.5);
        statement.setNull(4, Types.VARCHAR);
        statement.setLong(5, 1L << 40);
        try (ResultSet rows = statement.executeQuery()) {
          check(rows.next() && rows.getInt(1) == n && rows.getString(2).equals("tëxt ✓"), "echo");
          check(rows.getDouble(3) == 1.5 && rows.getString(4) == null && rows.wasNull(), "null");
          check(rows.getLong(5) == 1L << 40, "long");
        }
      }
    }
    try (PreparedStatement statement = connection.prepareStatement(
        "SELECT count(*) FROM clients WHERE connect_time < ? AND connect_time > ?")) {
      Timestamp now = new Timestamp(System.currentTimeMillis());
      for (int n = 0; n < 7; n++) {
        statement.setTimestamp(1, new Timestamp(now.getTime() + 60_000));
        statement.setObject(2, OffsetDateTime.now().minusDays(1));
        try (ResultSet rows = statement.executeQuery()) {
          check(rows.next() && rows.getInt(1) > 0, "clients by time, " + n);
        }
      }
    }
  }

  static void types(Connection connection) throws SQLException {
    try (PreparedStatement statement = connection.prepareStatement(
        "SELECT h.answered, h.share, h.host, c.connect_time, h.reads, h.banned_until, h.weight"
            + " FROM hosts h, clients c WHERE h.role = 'replica' AND c.user = 'admin'")) {
      ResultSetMetaData columns = statement.getMetaData();
      int[] expected = {Types.BIGINT, Types.DOUBLE, Types.VARCHAR, Types.TIMESTAMP, Types.BIT,
          Types.TIMESTAMP};
      for (int n = 0; n < expected.length; n++) {
        check(columns.getColumnType(n + 1) == expected[n],
            columns.getColumnName(n + 1) + " is " + columns.getColumnTypeName(n + 1));
      }
      for (int n = 0; n < 10; n++) {
        long before = System.currentTimeMillis();
        try (ResultSet row = statement.executeQuery()) {
          check(row.next(), "no replica");
          check(row.getLong(1) >= 0 && row.getInt(1) >= 0 && row.getString(1) != null, "int8");
          check(row.getDouble(2) > 0 && row.getDouble(2) <= 1, "float8 " + row.getString(2));
          check(row.getString(3).length() > 0, "text");
          long age = before - row.getTimestamp(4).getTime();
          check(Math.abs(age) < 600_000, "timestamptz " + row.getString(4));
          check(Math.abs(row.getObject(4, OffsetDateTime.class).toInstant().toEpochMilli()
              - row.getTimestamp(4).getTime()) < 2, "as OffsetDateTime");
          check(row.getBoolean(5) && row.getObject(5).equals(true), "bool");
          check(row.getTimestamp(6) == null && row.wasNull(), "no time");
          check(row.getInt(7) >= 0, "weight");
        }
      }
    }
  }

  static List<String> strings(ResultSet rows, String column) throws SQLException {
    List<String> found = new ArrayList<>();
    try (rows) {
      while (rows.next()) found.add(rows.getString(column));
    }
    return found;
  }

  static void metadata(Connection connection) throws SQLException {
    DatabaseMetaData about = connection.getMetaData();
    check(about.getDatabaseMajorVersion() == 15, about.getDatabaseProductVersion());
    check(strings(about.getSchemas(), "TABLE_SCHEM").contains("public"), "schemas");
    check(strings(about.getSchemas(null, "publ%"), "TABLE_SCHEM").equals(List.of("public")),
        "a schema by its pattern");
    check(strings(about.getCatalogs(), "TABLE_CAT").equals(List.of(PGDATABASE)), "catalogs");
    check(strings(about.getTableTypes(), "TABLE_TYPE").contains("TABLE"), "table types");
    String[] kinds = {"TABLE", "VIEW"};
    List<String> names = strings(about.getTables(null, "public", "%", kinds), "TABLE_NAME");
    check(names.contains("pools") && names.contains("hosts"), "tables " + names);
    check(strings(about.getTables("weir", null, "pool_", null), "TABLE_NAME")
        .equals(List.of("pools")), "a table by its pattern");
    try (ResultSet row = about.getTables(null, null, "pools", null)) {
      check(row.next() && row.getString("TABLE_SCHEM").equals("public"), "its schema");
      check(row.getString("TABLE_TYPE").equals("TABLE"), "its type " + row.getString("TABLE_TYPE"));
    }
    List<String> columns = strings(about.getColumns(null, "public", "pools", "%"), "COLUMN_NAME");
    check(columns.size() == 17 && columns.get(0).equals("database"), "columns " + columns);
    try (ResultSet row = about.getColumns("weir", "public", "clients", "connect_time")) {
      check(row.next() && row.getInt("DATA_TYPE") == Types.TIMESTAMP, "type of a column");
      check(row.getString("TYPE_NAME").equals("timestamptz"), row.getString("TYPE_NAME"));
      check(row.getString("IS_NULLABLE").equals("YES"), "null");
    }
    check(strings(about.getPrimaryKeys(null, "public", "pools"), "COLUMN_NAME").isEmpty(), "keys");
    check(strings(about.getIndexInfo(null, "public", "pools", false, true), "INDEX_NAME")
        .isEmpty(), "indexes");
    check(strings(about.getImportedKeys(null, "public", "pools"), "FKTABLE_NAME").isEmpty(),
        "foreign keys");
    check(strings(about.getTypeInfo(), "TYPE_NAME").contains("timestamptz"), "types");
    strings(about.getFunctions(null, null, "%"), "FUNCTION_NAME");
    strings(about.getProcedures(null, null, "%"), "PROCEDURE_NAME");
    check(connection.getCatalog().equals(PGDATABASE), connection.getCatalog());
    check(connection.getSchema().equals("public"), "schema " + connection.getSchema());
  }

  static void transactions(Connection connection) throws SQLException {
    connection.setAutoCommit(false);
    try (Statement statement = connection.createStatement()) {
      statement.setFetchSize(7);  // a portal, fetched in parts
      int count = 0;
      try (ResultSet rows = statement.executeQuery("SELECT key, value FROM config")) {
        while (rows.next()) count++;
      }
      statement.setFetchSize(0);
      try (ResultSet row = statement.executeQuery("SELECT count(*) FROM config")) {
        check(row.next() && row.getInt(1) == count && count > 20, "in parts: " + count);
      }
      connection.commit();
      connection.setReadOnly(true);
      check(connection.isReadOnly(), "read only");
      try (ResultSet rows = statement.executeQuery("SELECT * FROM pools")) {
        check(rows.next(), "rows in a read-only transaction");
      }
      connection.rollback();
      connection.setReadOnly(false);
      try {
        statement.executeQuery("SELECT * FROM nonesuch");
        check(false, "no error");
      } catch (SQLException failed) {
        check(failed.getSQLState().equals("42P01"), failed.getSQLState());
      }
      boolean saved = connection.unwrap(PGConnection.class).getAutosave() == AutoSave.ALWAYS;
      try {
        statement.executeQuery("SELECT 1");
        check(saved, "no error in a failed transaction");
      } catch (SQLException failed) {
        check(failed.getSQLState().equals("25P02"), failed.getSQLState());
      }
      connection.rollback();
      statement.execute("DECLARE c CURSOR FOR SELECT key FROM config");
      Savepoint point = connection.setSavepoint();
      try (ResultSet rows = statement.executeQuery("FETCH 3 FROM c")) {
        check(rows.getMetaData().getColumnName(1).equals("key"), "a cursor's column");
        check(rows.next() && rows.next() && rows.next() && !rows.next(), "a cursor's rows");
      }
      try {
        statement.executeQuery("FETCH 3 FROM nonesuch");
        check(false, "no error");
      } catch (SQLException failed) {
        check(failed.getSQLState().equals("34000"), failed.getSQLState());
      }
      connection.rollback(point);
      try (ResultSet rows = statement.executeQuery("SHOW VERSION")) {
        check(rows.next() && rows.getString(1).startsWith("Weir"), "version");
      }
      connection.commit();
    }
    connection.setAutoCommit(true);
    check(connection.getTransactionIsolation() == Connection.TRANSACTION_READ_COMMITTED,
        "isolation");
    connection.setTransactionIsolation(Connection.TRANSACTION_SERIALIZABLE);
    connection.setReadOnly(true);
    connection.setReadOnly(false);
  }

  static void errors(Connection connection) throws SQLException {
    try (PreparedStatement bad = connection.prepareStatement("SELECT nonesuch FROM pools")) {
      for (int n = 0; n < 7; n++) {
        try {
          bad.executeQuery();
          check(false, "no error");
        } catch (SQLException failed) {
          check(failed.getSQLState().equals("42703"), failed.getSQLState());
        }
      }
    }
    try (Statement statement = connection.createStatement()) {
      try {
        statement.executeUpdate("DELETE FROM pools");
        check(false, "no error");
      } catch (SQLException failed) {
        check(failed.getSQLState().equals("42601"), failed.getSQLState());
      }
      check(statement.execute("SELECT 1; SHOW VERSION; SELECT 2"), "a script");
      check(statement.getMoreResults() && statement.getMoreResults(), "its results");
      try (ResultSet row = statement.getResultSet()) {
        check(row.next() && row.getInt(1) == 2, "the last one");
      }
    }
    check(connection.isValid(5), "valid");
    connection.clearWarnings();
    connection.setClientInfo("ApplicationName", "tool");
    check(connection.isValid(5), "valid after a new name");
  }

  static void commands(Connection connection) throws SQLException {
    try (Statement statement = connection.createStatement()) {
      statement.execute("SET pool.size = 21");
      check(statement.getWarnings() != null, "no notice");
      statement.execute("RESET pool.size");
      check(statement.executeUpdate("RESET STATEMENTS") == 0, "no count");
    }
  }

  public static void main(String[] arguments) throws Exception {
    String[][] ways = {{}, {"preferQueryMode", "simple"}, {"prepareThreshold", "-1"},
        {"assumeMinServerVersion", "9.0", "ApplicationName", "smoke", "readOnly", "true"},
        {"preferQueryMode", "extendedCacheEverything", "binaryTransfer", "false",
            "autosave", "always"}};
    for (String[] way : ways) {
      try (Connection connection = connect(way)) {
        show(connection);
        parameters(connection);
        types(connection);
        transactions(connection);
        errors(connection);
        metadata(connection);
        commands(connection);
      } catch (Throwable failed) {
        System.out.println("with " + String.join(" ", way));
        throw failed;
      }
    }
    System.out.println("jdbc console ok");
  }
}
