#include "sim/store/sqlite_store.h"

#include <fmt/format.h>
#include <sqlite3.h>

#include "sim/core/error.h"

namespace foretoken::store {
namespace {

// What a later program must be able to tell from what it writes.
constexpr int kFormat = 1;

// A second row of one task would be a doubled run: the primary key refuses it.
constexpr const char* kTables = R"(
CREATE TABLE IF NOT EXISTS search (format INTEGER NOT NULL, fingerprint TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS outcome (
  kind INTEGER NOT NULL, configuration INTEGER NOT NULL, failure INTEGER NOT NULL,
  replication INTEGER NOT NULL, meets INTEGER NOT NULL, abandoned INTEGER NOT NULL,
  overloaded INTEGER NOT NULL, finished REAL NOT NULL, rung INTEGER NOT NULL,
  runs INTEGER NOT NULL, ttft_s REAL NOT NULL, tpot_s REAL NOT NULL, e2e_s REAL NOT NULL,
  output_throughput REAL NOT NULL, peak_running INTEGER NOT NULL,
  PRIMARY KEY (kind, configuration, failure, replication)) WITHOUT ROWID;
)";

}  // namespace

void SqliteStore::Close::operator()(sqlite3* db) const { sqlite3_close(db); }
void SqliteStore::Close::operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }

SqliteStore::Key SqliteStore::key_of(const plan::Task& task) {
  return {static_cast<int>(task.kind), task.configuration, static_cast<int>(task.failure),
          task.replication};
}

void SqliteStore::fail(const std::string& what) const {
  throw InputError(SourceMark{path_, 0, 0}, "",
                   fmt::format("{}: {}; check that the folder exists and is writable, and that the "
                               "file is one of ours",
                               what, db_ ? sqlite3_errmsg(db_.get()) : "out of memory"));
}

void SqliteStore::execute(const char* sql) const {
  if (sqlite3_exec(db_.get(), sql, nullptr, nullptr, nullptr) != SQLITE_OK) {
    fail("cannot use this database");
  }
}

std::unique_ptr<sqlite3_stmt, SqliteStore::Close> SqliteStore::prepare(const char* sql) const {
  sqlite3_stmt* statement = nullptr;
  if (sqlite3_prepare_v2(db_.get(), sql, -1, &statement, nullptr) != SQLITE_OK) {
    fail("cannot use this database");
  }
  return std::unique_ptr<sqlite3_stmt, Close>(statement);
}

SqliteStore::SqliteStore(const std::string& path, std::uint64_t fingerprint, bool resume)
    : path_(path) {
  sqlite3* db = nullptr;
  const int status = sqlite3_open(path.c_str(), &db);
  db_.reset(db);
  if (status != SQLITE_OK) {
    fail("cannot open this database");
  }
  sqlite3_busy_timeout(db_.get(), 5000);
  // A commit survives the death of the process; that of the machine may cost the last ones.
  execute("PRAGMA journal_mode = WAL");
  execute("PRAGMA synchronous = NORMAL");
  execute(kTables);
  check_owner(fingerprint, resume);
  load();
  insert_ = prepare("INSERT INTO outcome VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)");
}

void SqliteStore::check_owner(std::uint64_t fingerprint, bool resume) {
  const std::string own = fmt::format("{:016x}", fingerprint);
  const auto owner = prepare("SELECT format, fingerprint FROM search");
  if (sqlite3_step(owner.get()) != SQLITE_ROW) {
    execute(fmt::format("INSERT INTO search VALUES ({}, '{}')", kFormat, own).c_str());
    return;
  }
  const std::string theirs = reinterpret_cast<const char*>(sqlite3_column_text(owner.get(), 1));
  if (sqlite3_column_int(owner.get(), 0) != kFormat || theirs != own) {
    throw InputError(SourceMark{path_, 0, 0}, "",
                     "holds the results of another plan (scenario, profiles, clusters, seed and "
                     "version must be the same); name another file");
  }
  if (!resume) {
    throw InputError(SourceMark{path_, 0, 0}, "",
                     "holds results already; go on with --resume, or remove it");
  }
}

void SqliteStore::load() {
  const auto rows = prepare(
      "SELECT kind, configuration, failure, replication, meets, abandoned, overloaded, finished, "
      "rung, runs, ttft_s, tpot_s, e2e_s, output_throughput, peak_running FROM outcome");
  sqlite3_stmt* row = rows.get();
  while (sqlite3_step(row) == SQLITE_ROW) {
    plan::Outcome o;
    o.meets = sqlite3_column_int(row, 4) != 0;
    o.abandoned = sqlite3_column_int(row, 5) != 0;
    o.overloaded = sqlite3_column_int(row, 6) != 0;
    o.finished = sqlite3_column_double(row, 7);
    o.rung = sqlite3_column_int(row, 8);
    o.runs = sqlite3_column_int(row, 9);
    o.ttft = sqlite3_column_double(row, 10);
    o.tpot = sqlite3_column_double(row, 11);
    o.e2e = sqlite3_column_double(row, 12);
    o.output_throughput = sqlite3_column_double(row, 13);
    o.peak_running = sqlite3_column_int64(row, 14);
    known_.emplace(Key{sqlite3_column_int(row, 0), sqlite3_column_int64(row, 1),
                       sqlite3_column_int(row, 2), sqlite3_column_int(row, 3)},
                   o);
  }
}

std::optional<plan::Outcome> SqliteStore::find(const plan::Task& task) const {
  const auto it = known_.find(key_of(task));
  return it == known_.end() ? std::nullopt : std::optional(it->second);
}

void SqliteStore::add(const plan::Task& task, const plan::Outcome& outcome) {
  sqlite3_stmt* row = insert_.get();
  int column = 0;
  const auto put = [&](std::int64_t value) { sqlite3_bind_int64(row, ++column, value); };
  const auto put_real = [&](double value) { sqlite3_bind_double(row, ++column, value); };
  put(static_cast<int>(task.kind));
  put(task.configuration);
  put(static_cast<int>(task.failure));
  put(task.replication);
  put(outcome.meets ? 1 : 0);
  put(outcome.abandoned ? 1 : 0);
  put(outcome.overloaded ? 1 : 0);
  put_real(outcome.finished);
  put(outcome.rung);
  put(outcome.runs);
  put_real(outcome.ttft);
  put_real(outcome.tpot);
  put_real(outcome.e2e);
  put_real(outcome.output_throughput);
  put(outcome.peak_running);
  const int status = sqlite3_step(row);
  sqlite3_reset(row);
  if (status != SQLITE_DONE) {
    fail("cannot write to this database");
  }
  known_.emplace(key_of(task), outcome);
}

}  // namespace foretoken::store
