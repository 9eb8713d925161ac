// Outcomes of one search in an SQLite file, each committed as it comes: a killed search loses the
// runs in flight and nothing else. The only user of SQLite.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <tuple>

#include "sim/plan/task.h"

struct sqlite3;
struct sqlite3_stmt;

namespace foretoken::store {

class SqliteStore final : public plan::OutcomeStore {
 public:
  // Opens or makes the file. `fingerprint` is that of the search (plan::fingerprint): outcomes of
  // another are refused. `resume`: go on with what the file holds. Throws InputError when the file
  // cannot be opened, holds outcomes and `resume` is false, or belongs to another search.
  SqliteStore(const std::string& path, std::uint64_t fingerprint, bool resume);

  std::optional<plan::Outcome> find(const plan::Task& task) const override;
  void add(const plan::Task& task, const plan::Outcome& outcome) override;

 private:
  struct Close {
    void operator()(sqlite3* db) const;
    void operator()(sqlite3_stmt* statement) const;
  };
  using Key = std::tuple<int, std::int64_t, int, int>;
  static Key key_of(const plan::Task& task);
  [[noreturn]] void fail(const std::string& what) const;
  void execute(const char* sql) const;
  std::unique_ptr<sqlite3_stmt, Close> prepare(const char* sql) const;
  void check_owner(std::uint64_t fingerprint, bool resume);
  void load();

  std::string path_;
  std::unique_ptr<sqlite3, Close> db_;
  std::unique_ptr<sqlite3_stmt, Close> insert_;
  std::map<Key, plan::Outcome> known_;
};

}  // namespace foretoken::store
