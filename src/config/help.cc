#include "config/command_line.h"

namespace config {

std::string help_text() {
  return R"(weir: a PostgreSQL proxy that sends reads to fresh replicas over few connections

Usage:
  weir -c FILE [options]
  weir postgres://USER:PASSWORD@HOST[:PORT][/DATABASE] [--replica HOST[:PORT]]... [options]
  weir --check -c FILE
  weir route -c FILE [--database NAME] [--user NAME] 'STATEMENT'
  weir top [-c FILE | CONNECTION] [--every SECONDS] [--frames N]
  weir --upgrade [-c FILE | CONNECTION]
  weir import-pgbouncer PGBOUNCER.INI [USERLIST.TXT] > weir.toml

Options:
  -c, --config FILE      read the configuration from FILE (TOML)
      --check            print what of the configuration was understood, or all that is wrong; end
      --upgrade          online restart: have the program that is there now replace what runs
      --set KEY=VALUE    set one key of the configuration, after the file; may be repeated:
                         --set pool.size=50 --set timeouts.query_wait=10s
                         --set 'databases.app.dbname=production'
                         VALUE is TOML; bare words are taken as text
      --listen ADDRESS   listen here instead of what the file says; may be repeated:
                         127.0.0.1:6432, [::1]:6432, *:6432, unix:/run/weir, unix:/run/weir:6433
      --workers N        event loops; 0 is one for each core
      --replica HOST[:PORT]
                         with a URL: one more host of the cluster; may be repeated
      --database NAME, --user NAME
                         with route, which tells where a statement would go, and why: whose it is
      --every SECONDS, --frames N
                         with top, which shows what runs: time between two frames, and how many.
                         CONNECTION, also for --upgrade: as of libpq (a URL or "host=... user=...")
  -h, --help             print this and end
  -V, --version          print the version and end

With a URL, and no file:
  The hosts of the URL and of --replica form one cluster; which of them is the primary is found
  out. Clients log in with the URL's user and password (without a password: anybody may), and so
  does weir to the servers. Clients may ask for any database. The user may also command the
  console. Port 5432 is assumed for servers; weir listens on 127.0.0.1:6432.
  URL parameters: sslmode (default prefer), sslrootcert, sslcert, sslkey, connect_timeout.
  Others can read a command line with ps: for more than a first try, write a file.

A whole configuration file:
  listen = "*:6432"
  [clusters.main]
  hosts = ["10.0.0.1:5432", "10.0.0.2:5432"]
  [users.app]
  password = "secret"

Signals:
  SIGHUP   read the configuration and the certificates again, reopen the log file; a
           configuration with errors is logged and changes nothing. listen, workers and
           admin.http need a restart
  SIGUSR2  the same as --upgrade: a new process takes over the sockets that listen; this one
           serves its clients until they leave
  SIGTERM  accept no more clients, let transactions finish for timeouts.drain, end
  SIGINT   end now

Console:
  psql -h 127.0.0.1 -p 6432 -U USER weir     (USER has admin or stats in its table)
  SHOW HELP lists what it can do.

Exit codes:
  0  ended as asked, or the configuration is right
  1  the configuration is wrong or cannot be read
  2  the command line makes no sense
  3  weir could not start: an address is in use, a certificate does not load; --upgrade has failed

All keys with their units and defaults: docs/configuration.md.
)";
}

}  // namespace config
