// `mpirun --enable-recovery -n 4 foretoken-mpi plan SCENARIO ...`: the plan command on the ranks of
// an MPI job. Every rank reads the same files. Exit status as of `foretoken`.
#include <fmt/format.h>

#include <cstdio>
#include <exception>

#include "sim/cli/plan_command.h"
#include "sim/core/error.h"
#include "sim/mpi/mpi_runner.h"

namespace {

using foretoken::cli::PlanOptions;

int run(const PlanOptions& options, const foretoken::mpi::Session& session) {
  const auto [problem, notes] = foretoken::cli::load_problem(options.scenario);
  const foretoken::plan::Space space(problem);
  if (session.rank() != 0) {
    foretoken::mpi::serve(space);
    return 0;
  }
  foretoken::mpi::MpiRunner runner(space, session);
  return foretoken::cli::run_plan(options, space, notes, runner);
}

// One line from the first rank is enough: all read the same input.
void complain(const foretoken::mpi::Session& session, const char* message) {
  if (session.rank() == 0) {
    fmt::print(stderr, "foretoken-mpi: {}\n", message);
  }
}

int parse_and_run(int argc, char** argv, const foretoken::mpi::Session& session) {
  CLI::App app{"foretoken plan on the ranks of an MPI job"};
  app.require_subcommand(1);
  PlanOptions options;
  foretoken::cli::add_plan_options(*app.add_subcommand("plan", "See foretoken plan --help"),
                                   options);
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp& request) {
    return session.rank() == 0 ? app.exit(request) : 0;
  } catch (const CLI::ParseError& error) {
    complain(session, error.what());
    return 2;
  }
  return run(options, session);
}

}  // namespace

int main(int argc, char** argv) {
  foretoken::mpi::Session session(argc, argv);
  int status = 1;
  try {
    status = parse_and_run(argc, argv, session);
  } catch (const foretoken::InputError& error) {
    complain(session, error.what());
    status = 2;
  } catch (const std::exception& error) {
    complain(session, error.what());
  }
  session.end(status);
}
