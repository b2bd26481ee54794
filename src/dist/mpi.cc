#include "fovea/dist/mpi.h"

#include <cstdio>
#include <cstdlib>
#include <string>

#include "fovea/core/cpu.h"
#include "fovea/core/log.h"
#include "fovea/dist/serial.h"

#if FOVEA_HAS_MPI
#define OMPI_SKIP_MPICXX 1
#define MPICH_SKIP_MPICXX 1
#include <mpi.h>
#include <sched.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <vector>

#include "fovea/core/hash.h"
#endif

namespace fovea::dist {
namespace {

// How the program that started this process says that it started others too: Open MPI's mpirun, MPICH's and Slurm's.
constexpr const char* size_variables[]{"OMPI_COMM_WORLD_SIZE", "PMI_SIZE"};

// The processes that were started together, as far as their starter tells.
struct Launch {
  const char* variable = nullptr;
  int size = 1;
};

Launch launch() {
  for (const char* variable : size_variables) {
    if (const char* text = std::getenv(variable)) return {variable, std::atoi(text)};
  }
  return {};
}

#if FOVEA_HAS_MPI

using Clock = std::chrono::steady_clock;

void check(int code, const char* what) {
  if (code == MPI_SUCCESS) return;
  char text[MPI_MAX_ERROR_STRING] = "";
  int length = 0;
  MPI_Error_string(code, text, &length);
  fail("[dist] ", what, " failed: ", std::string(text, static_cast<std::size_t>(length)));
}

double timeout_seconds() {
  constexpr double usual = 1800;
  const char* text = std::getenv("FOVEA_RANK_TIMEOUT");
  if (text == nullptr) return usual;
  char* end = nullptr;
  const double seconds = std::strtod(text, &end);
  FOVEA_CHECK(*text != '\0' && *end == '\0' && seconds > 0, "[dist] FOVEA_RANK_TIMEOUT is \"", text,
              "\", expected a number of seconds above 0");
  return seconds;
}

class MpiGroup;

// One or several requests.
class MpiTransfer final : public Transfer {
 public:
  MpiTransfer(MpiGroup& group, const char* what) : group_(group), what_(what) {}
  // What is under way would write to memory that may be gone: it is waited for, unless the process fails anyway.
  ~MpiTransfer() override;

  bool test() override;
  void wait() override;

  MPI_Request* add() { return &requests_.emplace_back(MPI_REQUEST_NULL); }
  void reserve(std::size_t n) { requests_.reserve(n); }

 private:
  MpiGroup& group_;
  const char* what_;
  std::vector<MPI_Request> requests_;
};

// Three communicators, so that exchanges, sums of gradients that go on while backward computes, and everything else
// cannot be taken for each other.
class MpiGroup final : public Group {
 public:
  MpiGroup(int rank, int size) : Group(rank, size), timeout_(timeout_seconds()) {
    for (MPI_Comm* communicator : {&exchanges_, &sums_, &calls_}) {
      check(MPI_Comm_dup(MPI_COMM_WORLD, communicator), "MPI_Comm_dup");
      MPI_Comm_set_errhandler(*communicator, MPI_ERRORS_RETURN);
    }
    gather_names();
  }

  std::string name(int rank) const override { return names_[static_cast<std::size_t>(rank)]; }

  // Calls test until it says true. Throws Error naming the ranks that do not answer when that takes too long.
  template <class Test>
  void wait_until(Test&& test, const char* what) {
    const auto start = Clock::now();
    double answered = 0;
    for (std::int64_t i = 0; !test(); ++i) {
      constexpr std::int64_t spins = 2000;
      if (i < spins) continue;
      const double waited = std::chrono::duration<double>(Clock::now() - start).count();
      constexpr double patient = 0.01, between_answers = 0.1;
      // Others may need the processor; soon nobody is in a hurry.
      ::sched_yield();
      if (waited > patient) pause(20e-6);
      if (waited > answered + between_answers) {
        answered = waited;
        answer_calls();
      }
      if (waited > timeout_) report_absent(what, waited);
    }
  }

 private:
  enum Tag { exchange_tag, call_tag, answer_tag };
  static constexpr std::int64_t piece = std::int64_t{1} << 30;  // bytes of one message: counts are ints

  static void pause(double seconds) {
    const timespec time{0, static_cast<long>(seconds * 1e9)};
    ::nanosleep(&time, nullptr);
  }

  void gather_names() {
    char host[256] = "?";
    ::gethostname(host, sizeof host - 1);
    char own[512] = "";
    std::snprintf(own, sizeof own, "rank %d (process %d on %s)", rank(), static_cast<int>(::getpid()), host);
    std::vector<char> all(sizeof own * static_cast<std::size_t>(size()));
    check(MPI_Allgather(own, sizeof own, MPI_CHAR, all.data(), sizeof own, MPI_CHAR, calls_), "MPI_Allgather");
    for (int i = 0; i < size(); ++i) names_.emplace_back(all.data() + static_cast<std::size_t>(i) * sizeof own);
  }

  // Whoever waits answers those that ask who is still there.
  void answer_calls() {
    for (int there = 1; there != 0;) {
      MPI_Status status;
      if (MPI_Iprobe(MPI_ANY_SOURCE, call_tag, calls_, &there, &status) != MPI_SUCCESS || there == 0) return;
      MPI_Recv(nullptr, 0, MPI_CHAR, status.MPI_SOURCE, call_tag, calls_, MPI_STATUS_IGNORE);
      MPI_Request request;
      MPI_Isend(nullptr, 0, MPI_CHAR, status.MPI_SOURCE, answer_tag, calls_, &request);
      MPI_Request_free(&request);
    }
  }

  [[noreturn]] void report_absent(const char* what, double waited) {
    std::vector<bool> there(static_cast<std::size_t>(size()), false);
    there[static_cast<std::size_t>(rank())] = true;
    for (int i = 0; i < size(); ++i) {
      if (i == rank()) continue;
      MPI_Request request;
      MPI_Isend(nullptr, 0, MPI_CHAR, i, call_tag, calls_, &request);
      MPI_Request_free(&request);
    }
    constexpr double answers_take = 5;
    for (const auto start = Clock::now(); std::chrono::duration<double>(Clock::now() - start).count() < answers_take;) {
      answer_calls();
      int found = 0;
      MPI_Status status;
      if (MPI_Iprobe(MPI_ANY_SOURCE, answer_tag, calls_, &found, &status) == MPI_SUCCESS && found != 0) {
        MPI_Recv(nullptr, 0, MPI_CHAR, status.MPI_SOURCE, answer_tag, calls_, MPI_STATUS_IGNORE);
        there[static_cast<std::size_t>(status.MPI_SOURCE)] = true;
      }
      pause(1e-3);
    }
    std::string absent;
    for (int i = 0; i < size(); ++i) {
      if (!there[static_cast<std::size_t>(i)]) absent += concat(absent.empty() ? "" : ", ", name(i));
    }
    fail("[dist] ", name(rank()), " has waited ", static_cast<std::int64_t>(waited), " s in ", what, " for ",
         absent.empty() ? "ranks that wait for something else" : absent,
         "\nhint: they stopped, hang, or are busy: FOVEA_RANK_TIMEOUT is the number of seconds to wait");
  }

  Pending do_exchange(const void* send, int to, void* receive, int from, std::int64_t bytes) override {
    auto transfer = std::make_unique<MpiTransfer>(*this, "an exchange");
    transfer->reserve(2 * static_cast<std::size_t>(bytes / piece + 1));  // requests must not move
    auto* in = static_cast<std::byte*>(receive);
    const auto* out = static_cast<const std::byte*>(send);
    for (std::int64_t at = 0; at < bytes; at += piece) {
      const int count = static_cast<int>(std::min(piece, bytes - at));
      check(MPI_Irecv(in + at, count, MPI_BYTE, from, exchange_tag, exchanges_, transfer->add()), "MPI_Irecv");
      check(MPI_Isend(out + at, count, MPI_BYTE, to, exchange_tag, exchanges_, transfer->add()), "MPI_Isend");
    }
    return transfer;
  }

  Pending do_start_sum(Tensor& x) override {
    auto transfer = std::make_unique<MpiTransfer>(*this, "a sum");
    const MPI_Datatype type = x.dtype() == DType::f32 ? MPI_FLOAT : x.dtype() == DType::f64 ? MPI_DOUBLE : MPI_INT64_T;
    auto* data = static_cast<std::byte*>(x.mutable_raw());
    transfer->reserve(static_cast<std::size_t>(x.bytes() / piece + 1));
    for (std::int64_t at = 0; at < x.bytes(); at += piece) {
      const int count = static_cast<int>(std::min(piece, x.bytes() - at) / size_of(x.dtype()));
      check(MPI_Iallreduce(MPI_IN_PLACE, data + at, count, type, MPI_SUM, sums_, transfer->add()), "MPI_Iallreduce");
    }
    return transfer;
  }

  void do_broadcast(void* data, std::int64_t bytes, int root) override {
    MpiTransfer transfer(*this, "a broadcast");
    transfer.reserve(static_cast<std::size_t>(bytes / piece + 1));
    for (std::int64_t at = 0; at < bytes; at += piece) {
      const int count = static_cast<int>(std::min(piece, bytes - at));
      check(MPI_Ibcast(static_cast<std::byte*>(data) + at, count, MPI_BYTE, root, calls_, transfer.add()),
            "MPI_Ibcast");
    }
    transfer.wait();
  }

  void do_barrier() override {
    MpiTransfer transfer(*this, "a barrier");
    check(MPI_Ibarrier(calls_, transfer.add()), "MPI_Ibarrier");
    transfer.wait();
  }

  double timeout_;
  MPI_Comm exchanges_ = MPI_COMM_NULL, sums_ = MPI_COMM_NULL, calls_ = MPI_COMM_NULL;
  std::vector<std::string> names_;
};

MpiTransfer::~MpiTransfer() {
  try {
    if (std::uncaught_exceptions() == 0) wait();
  } catch (const Error& error) {
    log::warning(error.what());
  }
}

bool MpiTransfer::test() {
  int done = 0;
  check(MPI_Testall(static_cast<int>(requests_.size()), requests_.data(), &done, MPI_STATUSES_IGNORE), what_);
  return done != 0;
}

void MpiTransfer::wait() {
  group_.wait_until([this] { return test(); }, what_);
}

// A process that ends well waits for the others; one that fails takes them along.
void leave(int status, void*) {
  int finalized = 0;
  MPI_Finalized(&finalized);
  if (finalized != 0) return;
  if (status == 0) {
    MPI_Finalize();
  } else {
    MPI_Abort(MPI_COMM_WORLD, status);
  }
}

// Ranks that may run on the same processors, as happens where mpirun binds none, get their share of them as threads.
void share_processors(int rank) {
  MPI_Comm machine;
  check(MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, rank, MPI_INFO_NULL, &machine),
        "MPI_Comm_split_type");
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  ::sched_getaffinity(0, sizeof allowed, &allowed);
  int local = 1;
  MPI_Comm_size(machine, &local);
  std::vector<cpu_set_t> all(static_cast<std::size_t>(local));
  check(MPI_Allgather(&allowed, sizeof allowed, MPI_BYTE, all.data(), sizeof allowed, MPI_BYTE, machine),
        "MPI_Allgather");
  MPI_Comm_free(&machine);
  const auto sharers =
      std::count_if(all.begin(), all.end(), [&](const cpu_set_t& other) { return CPU_EQUAL(&other, &allowed) != 0; });
  if (std::getenv("FOVEA_NUM_THREADS") == nullptr)
    set_num_threads(std::max(1, cpu::processors() / static_cast<int>(sharers)));
}

void check_instruction_sets(Group& group) {
  const std::string own = cpu::to_string(cpu::active_isa()), first = group.broadcast(own);
  group.fail_together(own == first ? ""
                                   : concat("[dist] ", group.name(group.rank()), " computes with ", own, ", ",
                                            group.name(0), " with ", first,
                                            "\nhint: set FOVEA_MAX_ISA to what all machines have: with different "
                                            "instruction sets the ranks' weights would drift apart"));
}

// Of this process, once it has joined.
int joined_as = 0;
std::string joined_name;

std::unique_ptr<Group> join(const Launch& started) {
  int running = 0;
  MPI_Initialized(&running);
  if (running == 0) {
    if (started.size <= 1) return std::make_unique<Serial>();
    int provided = 0;
    check(MPI_Init_thread(nullptr, nullptr, MPI_THREAD_FUNNELED, &provided), "MPI_Init_thread");
    FOVEA_CHECK(provided >= MPI_THREAD_FUNNELED, "[dist] this MPI library cannot be used by programs with threads");
    ::on_exit(leave, nullptr);
  }
  int rank = 0, size = 1;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  if (started.size > 1 && size != started.size) {
    char version[MPI_MAX_LIBRARY_VERSION_STRING] = "";
    int length = 0;
    MPI_Get_library_version(version, &length);
    fail("[dist] this process was started as one of ", started.size, " (", started.variable,
         "), but the MPI library that fovea was built with sees ", size, ": ",
         std::string(version, std::strcspn(version, ",\n")), "\nhint: use the mpirun that belongs to it");
  }
  if (size == 1) return std::make_unique<Serial>();
  auto group = std::make_unique<MpiGroup>(rank, size);
  joined_as = rank;
  joined_name = group->name(rank) + ": ";
  share_processors(rank);
  check_instruction_sets(*group);
  log::set_quiet(rank > 0);
  log::set_speaker(group->name(rank));
  return group;
}

// Where all ranks fail in the same way, the first one speaks: it takes the others along before they do.
void before_failure_is_told() {
  if (joined_as > 0) ::sleep(1);
}

#else

const std::string joined_name;
void before_failure_is_told() {}

std::unique_ptr<Group> join(const Launch& started) {
  FOVEA_CHECK(started.size <= 1, "[dist] this process was started as one of ", started.size, " (", started.variable,
              "), but fovea was built without MPI",
              "\nhint: apt-get install libopenmpi-dev openmpi-bin, then configure and build again; cmake says whether "
              "MPI was found");
  return std::make_unique<Serial>();
}

#endif

}  // namespace

bool has_mpi() { return FOVEA_HAS_MPI != 0; }

Group& world() {
  static Group* group = join(launch()).release();  // lives as long as the process: MPI ends in leave()
  return *group;
}

int report_failure(const std::string& message) {
  before_failure_is_told();
  std::fprintf(stderr, "%s%s\n", joined_name.c_str(), message.c_str());
  return 1;
}

}  // namespace fovea::dist
