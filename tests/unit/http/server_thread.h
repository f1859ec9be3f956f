// A server whose loop runs in a thread, so that the test can be its client.
#ifndef TESTS_UNIT_HTTP_SERVER_THREAD_H_
#define TESTS_UNIT_HTTP_SERVER_THREAD_H_

#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "userspace/base/event_loop.h"
#include "userspace/base/unique_fd.h"
#include "userspace/http/server.h"

namespace lattice::http {

class ServerThread {
 public:
  // CHECKs that it starts. `setup` adds the routes.
  ServerThread(const ServerOptions& options, const std::function<void(Server&)>& setup);
  ~ServerThread() { Stop(); }

  // Ends the loop and the server.
  void Stop();
  const std::string& address() const { return address_; }
  EventLoop& loop() { return *loop_; }
  // Runs `action` on the loop's thread and waits for it.
  void OnLoop(const std::function<void()>& action);
  int connections();

 private:
  std::unique_ptr<EventLoop> loop_;
  std::unique_ptr<Server> server_;
  std::string address_;
  std::thread thread_;
};

// A client that does with its socket what it likes.
class RawClient {
 public:
  explicit RawClient(const std::string& address);  // CHECKs that it connects
  bool Send(const std::string& text);              // false when the server has closed
  // All until the server closes, or, if not empty, until `text` has come.
  std::string ReadUntil(const std::string& text = "");
  void Close() { fd_.reset(); }
  int fd() const { return fd_.get(); }

 private:
  UniqueFd fd_;
};

}  // namespace lattice::http

#endif  // TESTS_UNIT_HTTP_SERVER_THREAD_H_
