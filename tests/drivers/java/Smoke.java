// PostgreSQL's JDBC driver through PGHOST:PGPORT: what its users do. Ends with 0, or an exception.
import java.io.StringReader;
import java.io.StringWriter;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.sql.Types;
import java.util.Properties;
import org.postgresql.PGConnection;
import org.postgresql.copy.CopyManager;

public class Smoke {
  static void check(boolean holds, String what) {
    if (!holds) throw new AssertionError(what);
  }

  static Connection connect() throws SQLException {
    Properties how = new Properties();
    how.setProperty("user", System.getenv("PGUSER"));
    how.setProperty("password", System.getenv("PGPASSWORD"));
    how.setProperty("sslmode", "disable");
    how.setProperty("gssEncMode", "disable");
    return DriverManager.getConnection("jdbc:postgresql://" + System.getenv("PGHOST") + ":"
        + System.getenv("PGPORT") + "/" + System.getenv("PGDATABASE"), how);
  }

  static void types(Connection connection) throws SQLException {
    try (PreparedStatement statement = connection.prepareStatement(
        "SELECT ?::int4, ?::int8, ?::float8, ?::numeric, ?::text, ?::bytea, ?::bool, ?::text")) {
      statement.setInt(1, 7);
      statement.setLong(2, 1L << 40);
      statement.setDouble(3, 1.5);
      statement.setBigDecimal(4, new java.math.BigDecimal("1.25"));
      statement.setString(5, "tëxt ✓");
      statement.setBytes(6, new byte[] {0, -1});
      statement.setBoolean(7, true);
      statement.setNull(8, Types.VARCHAR);
      for (int n = 0; n < 10; n++) {  // named on the server, and binary, from the fifth time on
        ResultSet row = statement.executeQuery();
        row.next();
        check(row.getInt(1) == 7 && row.getLong(2) == 1L << 40, "integers");
        check(row.getDouble(3) == 1.5, "double");
        check(row.getBigDecimal(4).toString().equals("1.25") && row.getBoolean(7), "numeric");
        check(row.getString(5).equals("tëxt ✓") && row.getBytes(6).length == 2, "texts");
        check(row.getString(8) == null, "null");
      }
    }
  }

  static void batch(Connection connection) throws SQLException {
    try (Statement statement = connection.createStatement()) {
      statement.execute("DROP TABLE IF EXISTS smoke_jdbc");
      statement.execute("CREATE TABLE smoke_jdbc (id serial PRIMARY KEY, n int, v text)");
    }
    try (PreparedStatement insert = connection.prepareStatement(
        "INSERT INTO smoke_jdbc (n, v) VALUES (?, ?)", Statement.RETURN_GENERATED_KEYS)) {
      for (int n = 0; n < 300; n++) {
        insert.setInt(1, n);
        insert.setString(2, "v" + n);
        insert.addBatch();
      }
      check(insert.executeBatch().length == 300, "batch");
      ResultSet keys = insert.getGeneratedKeys();
      check(keys.next() && keys.getInt(1) == 1, "keys");
    }
    try (PreparedStatement select =
        connection.prepareStatement("SELECT v FROM smoke_jdbc WHERE n = ?")) {
      for (int n = 0; n < 50; n++) {
        select.setInt(1, n);
        ResultSet row = select.executeQuery();
        check(row.next() && row.getString(1).equals("v" + n), "row " + n);
      }
    }
    try (PreparedStatement bad = connection.prepareStatement("SELECT 1 / ?")) {
      bad.setInt(1, 0);
      bad.executeQuery();
      check(false, "no error");
    } catch (SQLException failed) {
      check(failed.getSQLState().equals("22012"), failed.getSQLState());
    }
  }

  static void transactions(Connection connection) throws SQLException {
    connection.setAutoCommit(false);
    try (Statement statement = connection.createStatement()) {
      statement.executeUpdate("DELETE FROM smoke_jdbc");
      java.sql.Savepoint point = connection.setSavepoint();
      try {
        statement.executeQuery("SELECT * FROM nonesuch");
        check(false, "no error");
      } catch (SQLException failed) {
        check(failed.getSQLState().equals("42P01"), failed.getSQLState());
      }
      connection.rollback(point);
      connection.rollback();
      statement.setFetchSize(20);  // a portal, fetched in parts
      ResultSet rows = statement.executeQuery("SELECT * FROM smoke_jdbc");
      int count = 0;
      while (rows.next()) count++;
      check(count == 300, "rows " + count);
      connection.commit();
      connection.setReadOnly(true);
      rows = statement.executeQuery("SELECT count(*) FROM smoke_jdbc");
      check(rows.next() && rows.getInt(1) == 300, "read only");
      connection.commit();
      connection.setReadOnly(false);
    }
    connection.setAutoCommit(true);
  }

  static void copying(Connection connection) throws Exception {
    CopyManager copy = connection.unwrap(PGConnection.class).getCopyAPI();
    long count = copy.copyIn("COPY smoke_jdbc (n, v) FROM STDIN", new StringReader("1\tx\n2\ty\n"));
    check(count == 2, "copied " + count);
    StringWriter out = new StringWriter();
    check(copy.copyOut("COPY smoke_jdbc TO STDOUT", out) == 302, "copied out");
  }

  static void cancelling(Connection connection) throws SQLException {
    try (Statement statement = connection.createStatement()) {
      statement.setQueryTimeout(1);
      statement.execute("SELECT pg_sleep(30)");
      check(false, "no timeout");
    } catch (SQLException failed) {
      check(failed.getSQLState().equals("57014"), failed.getSQLState());
    }
    check(connection.isValid(5), "still there");
  }

  public static void main(String[] arguments) throws Exception {
    try (Connection connection = connect()) {
      types(connection);
      batch(connection);
      transactions(connection);
      copying(connection);
      cancelling(connection);
      try (Statement statement = connection.createStatement()) {
        statement.execute("DROP TABLE smoke_jdbc");
      }
    }
    System.out.println("jdbc ok");
  }
}
