// Our engines in one unprivileged process, driven directly: the counterpart of bench/reference/main.go, with the same
// command line and the same line of output, so that one harness drives either.
//
//   engine_peer CONFIG upload|download|connects|echo|hold ADDRESS:PORT NUMBER [NUMBER]
//
// CONFIG is a file of wg(8)'s set operation, with our overlay address in a first line "address=10.9.0.2".
// ENGINE_CONGESTION=cubic takes that in place of the default.
#include <sys/resource.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "glog/logging.h"
#include "userspace/base/clock.h"
#include "userspace/base/file.h"
#include "userspace/sandbox/overlay_stack.h"
#include "userspace/tunnel/uapi.h"

namespace lattice::bench {
namespace {

using netstack::TcpConnection;

// The first byte of a connection: what the server is to do (bench/reference/main.go).
constexpr uint8_t kEcho = 1, kSink = 2, kSource = 3;

// A connection's work; the events of the stack call it.
using Handler = std::function<void(TcpConnection&, uint8_t events)>;

void CheckOk(const absl::Status& status) {
  CHECK(status.ok()) << status;
}

class Peer : public netstack::Application {
 public:
  Peer(const std::string& config, const std::string& remote);
  void Upload(uint64_t bytes);
  void Download(uint64_t bytes);
  void Connects(uint64_t count, uint64_t clients);
  double Echo(uint64_t count);
  double Hold(uint64_t count);
  // One round trip on a connection of its own.
  void Once(const std::function<void()>& done);
  // Until the other side knows that all is closed: what it still holds would be in the way of the next run.
  void Finish();
  void Run() { CheckOk(loop_->Run()); }
  void Stop() { loop_->Stop(); }

 private:
  TcpConnection* Connect(Handler handler);
  // Closes it. Its handler is not called any more, but may be the one that calls this.
  void Finish(TcpConnection& connection);
  void OnTcp(TcpConnection& connection, uint8_t events) override;
  void OnAccept(netstack::TcpListener&) override {}
  void OnUdp(netstack::UdpSocket&) override {}

  std::unique_ptr<EventLoop> loop_;
  std::unique_ptr<sandbox::OverlayStack> overlay_;
  Endpoint remote_;
  std::unique_ptr<Handler> finished_;
};

Peer::Peer(const std::string& config, const std::string& remote) : loop_(*EventLoop::Create()) {
  const std::vector<std::string> parts = absl::StrSplit(config, absl::MaxSplits('\n', 1));
  const auto address = IpAddress::Parse(absl::StripPrefix(parts[0], "address="));
  CHECK(address.ok()) << address.status();
  const size_t colon = remote.rfind(':');
  uint32_t port = 0;
  CHECK(colon != std::string::npos && absl::SimpleAtoi(remote.substr(colon + 1), &port)) << remote;
  remote_ = {*IpAddress::Parse(remote.substr(0, colon)), static_cast<uint16_t>(port)};

  netstack::Options options{.addresses = {*address}};
  const char* const congestion = getenv("ENGINE_CONGESTION");
  if (congestion != nullptr && std::string(congestion) == "cubic") options.congestion = netstack::Congestion::kCubic;
  auto overlay = sandbox::OverlayStack::Create(*loop_, RealClock(), {}, options, *this);
  CHECK(overlay.ok()) << overlay.status();
  overlay_ = *std::move(overlay);
  const auto change = tunnel::ParseUapiChange(parts[1]);
  CHECK(change.ok()) << change.status();
  CheckOk(tunnel::ApplyUapiChange(*change, overlay_->tunnel()));
}

TcpConnection* Peer::Connect(Handler handler) {
  auto connection = overlay_->stack().Connect(remote_, {.user = new Handler(std::move(handler))});
  CHECK(connection.ok()) << connection.status();
  overlay_->Turn();
  return *connection;
}

void Peer::OnTcp(TcpConnection& connection, uint8_t events) {
  finished_ = nullptr;
  (*static_cast<Handler*>(connection.user()))(connection, events);
}

void Peer::Finish(TcpConnection& connection) {
  finished_.reset(static_cast<Handler*>(connection.user()));
  connection.Close();
}

size_t Drain(TcpConnection& connection) {
  const size_t bytes = connection.available();
  connection.Consume(bytes);
  return bytes;
}

void CheckAlive(const TcpConnection& connection, uint8_t events) {
  CHECK((events & netstack::kEnded) == 0) << netstack::CloseReasonName(connection.reason());
}

void Peer::Once(const std::function<void()>& done) {
  Connect([this, done](TcpConnection& connection, uint8_t events) {
    if ((events & netstack::kConnected) != 0) connection.Send({&kEcho, 1});
    if (connection.available() == 0) return CheckAlive(connection, events);
    Drain(connection);
    Finish(connection);
    done();
  });
}

void Peer::Finish() {
  overlay_->Turn();
  const EventLoop::TimerId timer = loop_->AddTimer(absl::Milliseconds(5), [this] {
    if (overlay_->stack().connections() == 0) Stop();
  });
  Run();
  loop_->RemoveTimer(timer);
}

void Peer::Upload(uint64_t bytes) {
  uint64_t left = bytes;
  bool closed = false;
  Connect([&, started = false](TcpConnection& connection, uint8_t events) mutable {
    if (!std::exchange(started, true)) connection.Send({&kSink, 1});
    std::array<iovec, 16> space;
    size_t pieces;
    while (left > 0 && (pieces = connection.SendSpace(absl::MakeSpan(space))) > 0) {
      size_t filled = 0;
      for (size_t i = 0; i < pieces && left > 0; ++i) {
        const size_t part = std::min<uint64_t>(space[i].iov_len, left);
        memset(space[i].iov_base, 7, part);  // what a read from a client would write
        filled += part;
        left -= part;
      }
      connection.Commit(filled);
    }
    if (left == 0 && !std::exchange(closed, true)) connection.ShutdownWrite();
    Drain(connection);
    // The other side closes when it has all.
    if (!connection.receive_finished()) return CheckAlive(connection, events);
    Finish(connection);
    Stop();
  });
  Run();
}

void Peer::Download(uint64_t bytes) {
  uint64_t got = 0;
  std::vector<uint8_t> buffer(64 << 10);
  Connect([&](TcpConnection& connection, uint8_t events) {
    if ((events & netstack::kConnected) != 0) {
      uint8_t request[9] = {kSource};
      for (int i = 0; i < 8; ++i) request[1 + i] = static_cast<uint8_t>(bytes >> (56 - 8 * i));
      connection.Send(request);
    }
    std::array<iovec, 16> data;
    size_t pieces;
    while ((pieces = connection.ReceiveData(absl::MakeSpan(data))) > 0) {
      size_t taken = 0;
      for (size_t i = 0; i < pieces; ++i) {
        // What a write to a client would read.
        for (size_t at = 0; at < data[i].iov_len; at += buffer.size()) {
          memcpy(buffer.data(), static_cast<uint8_t*>(data[i].iov_base) + at,
                 std::min(buffer.size(), data[i].iov_len - at));
        }
        taken += data[i].iov_len;
      }
      connection.Consume(taken);
      got += taken;
    }
    if (got < bytes) return CheckAlive(connection, events);
    Finish(connection);
    Stop();
  });
  Run();
}

void Peer::Connects(uint64_t count, uint64_t clients) {
  uint64_t left = clients;
  std::vector<uint64_t> rounds(clients, count / clients);
  std::function<void(size_t)> next = [&](size_t client) {
    if (rounds[client]-- == 0) {
      if (--left == 0) Stop();
      return;
    }
    Once([&next, client] { next(client); });
  };
  for (size_t client = 0; client < clients; ++client) next(client);
  Run();
}

double Peer::Echo(uint64_t count) {
  std::vector<int64_t> times;
  int64_t start = 0;
  Connect([&](TcpConnection& connection, uint8_t events) {
    const size_t got = Drain(connection);
    if (got == 0 && (events & netstack::kConnected) == 0) return CheckAlive(connection, events);
    const int64_t now = RealClock().MonotonicNs();
    if (got > 0) times.push_back(now - start);
    if (times.size() == count) {
      Finish(connection);
      return Stop();
    }
    start = now;
    connection.Send({&kEcho, 1});
  });
  Run();
  std::sort(times.begin(), times.end());
  return static_cast<double>(times[times.size() / 2]) / 1000;
}

double RssKib() {
  const auto text = ReadFile("/proc/self/statm");
  CHECK(text.ok()) << text.status();
  const std::vector<std::string> words = absl::StrSplit(*text, ' ');
  double pages = 0;
  CHECK(absl::SimpleAtod(words[1], &pages));
  return pages * 4;
}

double Peer::Hold(uint64_t count) {
  std::vector<TcpConnection*> held;
  const double before = RssKib();
  std::function<void()> next = [&] {
    if (held.size() == count) return Stop();
    held.push_back(Connect([&next, answered = false](TcpConnection& connection, uint8_t events) mutable {
      if ((events & netstack::kConnected) != 0) connection.Send({&kEcho, 1});
      CheckAlive(connection, events);
      if (Drain(connection) > 0 && !std::exchange(answered, true)) next();
    }));
  };
  next();
  Run();
  const double each = (RssKib() - before) / static_cast<double>(count);
  for (TcpConnection* connection : held) Finish(*connection);
  return each;
}

double CpuSeconds(rusage* usage) {
  PCHECK(getrusage(RUSAGE_SELF, usage) == 0);
  const auto seconds = [](const timeval& t) { return static_cast<double>(t.tv_sec) + 1e-6 * t.tv_usec; };
  return seconds(usage->ru_utime) + seconds(usage->ru_stime);
}

int Main(const std::vector<std::string>& words) {
  uint64_t numbers[2] = {0, 1};
  if (words.size() < 5 || !absl::SimpleAtoi(words[4], &numbers[0]) ||
      (words.size() > 5 && !absl::SimpleAtoi(words[5], &numbers[1]))) {
    absl::FPrintF(stderr,
                  "usage: engine_peer CONFIG upload|download|connects|echo|hold ADDRESS:PORT NUMBER [NUMBER]\n");
    return 2;
  }
  const auto config = ReadFile(words[1]);
  CHECK(config.ok()) << config.status();
  Peer peer(*config, words[3]);
  // The handshake is not what is measured.
  peer.Once([&peer] { peer.Stop(); });
  peer.Run();

  const double idle = RssKib();
  rusage usage;
  const double cpu = CpuSeconds(&usage);
  const int64_t start = RealClock().MonotonicNs();
  double value = 0;
  const std::string& command = words[2];
  if (command == "upload") {
    peer.Upload(numbers[0]);
  } else if (command == "download") {
    peer.Download(numbers[0]);
  } else if (command == "connects") {
    peer.Connects(numbers[0], numbers[1]);
  } else if (command == "echo") {
    value = peer.Echo(numbers[0]);
  } else if (command == "hold") {
    value = peer.Hold(numbers[0]);
  } else {
    absl::FPrintF(stderr, "%s: no such command\n", command);
    return 2;
  }
  const double seconds = 1e-9 * static_cast<double>(RealClock().MonotonicNs() - start);
  const double used = CpuSeconds(&usage) - cpu;
  absl::PrintF("seconds=%.6f cpu=%.6f idle_rss_kib=%.0f peak_rss_kib=%d value=%.3f\n", seconds, used, idle,
               usage.ru_maxrss, value);
  peer.Finish();
  return 0;
}

}  // namespace
}  // namespace lattice::bench

int main(int argc, char** argv) {
  google::InitGoogleLogging(argv[0]);
  FLAGS_logtostderr = true;
  return lattice::bench::Main({argv, argv + argc});
}
