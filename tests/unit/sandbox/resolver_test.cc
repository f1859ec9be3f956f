// Two hosts in one event loop, as overlay_stack_test: on one of them DNS servers that answer as the test says. One file
// over 400 lines: all of it needs both hosts and the servers.
#include "userspace/sandbox/resolver.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/testing/dns_answer.h"
#include "tests/testing/fake_clock.h"

namespace lattice::sandbox {
namespace {

using testing::DnsAnswerBuilder;
using ::testing::ElementsAre;
using ::testing::Gt;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using Result = absl::StatusOr<std::vector<IpAddress>>;
using Bytes = std::vector<uint8_t>;

constexpr absl::Duration kPatience = absl::Seconds(30);
constexpr char kName[] = "api.example.com";
const IpAddress kOne = IpAddress::FromV4({192, 0, 2, 1}), kTwo = IpAddress::FromV4({192, 0, 2, 2});
const IpAddress kV6 = *IpAddress::Parse("2001:db8::1");

IpAddress Overlay(uint8_t number) {
  return IpAddress::FromV4({10, 42, 0, number});
}

class Host {
 public:
  explicit Host(uint8_t number) : number_(number) {}
  void Start(EventLoop& loop) {
    auto created = OverlayStack::Create(loop, RealClock(), {}, {.addresses = {Overlay(number_)}}, users_);
    ASSERT_TRUE(created.ok()) << created.status();
    overlay = *std::move(created);
    wireguard::PrivateKey key;
    std::fill_n(key.data(), key.size(), number_);
    ASSERT_TRUE(overlay->tunnel().SetPrivateKey(key).ok());
  }
  void Join(const Host& other) {
    ASSERT_TRUE(overlay->tunnel()
                    .SetPeer({.public_key = other.overlay->tunnel().device()->public_key(),
                              .endpoint = Endpoint{IpAddress::FromV4({127, 0, 0, 1}), other.overlay->tunnel().port()},
                              .allowed_ips = {IpPrefix(Overlay(other.number_), 32)}})
                    .ok());
  }

 private:
  const uint8_t number_;
  OverlayUsers users_;

 public:
  std::unique_ptr<OverlayStack> overlay;
};

// What it is asked, and the datagrams or the one message of a stream that it answers.
class Server : public DatagramUser, public ListenerUser, public StreamUser {
 public:
  struct Asked {
    DnsQuestion question;
    Endpoint from;
    bool tcp = false;
  };
  using Answers = std::function<std::vector<Bytes>(const DnsQuestion&)>;

  Server(netstack::Stack& stack, uint16_t port) : stack_(stack), endpoint_{Overlay(2), port} {
    socket_ = *stack.Bind(endpoint_);
    socket_->user = static_cast<DatagramUser*>(this);
    (*stack.Listen(endpoint_, 16))->user = static_cast<ListenerUser*>(this);
  }
  void OnDatagram(netstack::UdpSocket& socket) override {
    while (const auto datagram = socket.Front()) {
      const Endpoint from = datagram->remote;
      const DnsQuestion question = Read(datagram->payload);
      socket.Pop();
      asked.push_back({question, from, false});
      for (const Bytes& answer : answers(question)) socket.Send(answer, from);
    }
  }
  void OnAccept(netstack::TcpListener& listener) override {
    while (netstack::TcpConnection* connection = listener.Accept()) {
      connection->set_user(static_cast<StreamUser*>(this));
    }
  }
  // A question is small: it comes as a whole.
  void OnStream(netstack::TcpConnection& connection, uint8_t) override {
    Bytes message;
    std::array<iovec, 4> data;
    while (size_t pieces = connection.ReceiveData(absl::MakeSpan(data))) {
      size_t bytes = 0;
      for (size_t i = 0; i < pieces; ++i) {
        const auto* at = static_cast<const uint8_t*>(data[i].iov_base);
        message.insert(message.end(), at, at + data[i].iov_len);
        bytes += data[i].iov_len;
      }
      connection.Consume(bytes);
    }
    if (message.size() > 2) {
      const DnsQuestion question = Read(absl::MakeConstSpan(message).subspan(2));
      asked.push_back({question, {connection.flow().remote, connection.flow().remote_port}, true});
      const Bytes answer = tcp_answers(question).at(0);
      Bytes stream = {static_cast<uint8_t>(answer.size() >> 8), static_cast<uint8_t>(answer.size())};
      stream.insert(stream.end(), answer.begin(), answer.end());
      if (hang_up) return connection.Close();
      EXPECT_EQ(connection.Send(stream), stream.size());
    }
    if (connection.receive_finished() || connection.reason() != netstack::CloseReason::kNone) connection.Close();
  }
  const Endpoint& endpoint() const { return endpoint_; }

  std::vector<Asked> asked;
  Answers answers = [](const DnsQuestion&) -> std::vector<Bytes> { return {}; };
  Answers tcp_answers = answers;
  bool hang_up = false;

 private:
  static DnsQuestion Read(absl::Span<const uint8_t> message) {
    DnsQuestion question{.id = static_cast<uint16_t>(message[0] << 8 | message[1])};
    size_t at = 12;
    for (; message[at] != 0; at += 1 + message[at]) {
      if (!question.name.empty()) question.name += '.';
      question.name.append(reinterpret_cast<const char*>(&message[at + 1]), message[at]);
    }
    question.type = static_cast<uint16_t>(message[at + 1] << 8 | message[at + 2]);
    return question;
  }

  netstack::Stack& stack_;
  const Endpoint endpoint_;
  netstack::UdpSocket* socket_ = nullptr;
};

// A: 192.0.2.1 and .2; AAAA: 2001:db8::1.
std::vector<Bytes> Both(const DnsQuestion& question) {
  DnsAnswerBuilder builder(question);
  if (question.type == kDnsAaaa) return {builder.Address(question.name, kV6, 100).Message()};
  return {builder.Address(question.name, kOne, 100).Address(question.name, kTwo, 50).Message()};
}
std::vector<Bytes> NoName(const DnsQuestion& question) {
  return {DnsAnswerBuilder(question, 3).Soa("example.com", 600, 60).Message()};
}
std::vector<Bytes> Failure(const DnsQuestion& question) {
  return {DnsAnswerBuilder(question, 2).Message()};
}

class ResolverTest : public ::testing::Test {
 protected:
  void SetUp() override {
    loop_ = *EventLoop::Create();
    a_.Start(*loop_);
    b_.Start(*loop_);
    a_.Join(b_);
    b_.Join(a_);
    first_ = std::make_unique<Server>(b_.overlay->stack(), 53);
    second_ = std::make_unique<Server>(b_.overlay->stack(), 54);
    options_.servers = {first_->endpoint(), second_->endpoint()};
    loop_->AddOnce(kPatience, [this] {
      late_ = true;
      loop_->Stop();
    });
  }
  void TearDown() override { resolver_ = nullptr; }
  Resolver& resolver(const Clock& clock) {
    if (resolver_ == nullptr) resolver_ = std::make_unique<Resolver>(*loop_, clock, *a_.overlay, options_);
    return *resolver_;
  }
  Resolver& resolver() { return resolver(clock_); }
  // Asks and waits for the answer.
  Result Ask(absl::string_view name = kName) {
    Result got = absl::UnknownError("not answered");
    resolver().Resolve(name, [&](Result result) {
      got = std::move(result);
      loop_->Stop();
    });
    Run();
    return got;
  }
  void Run() {
    ASSERT_TRUE(loop_->Run().ok());
    ASSERT_FALSE(late_);
  }

  std::unique_ptr<EventLoop> loop_;
  Host a_{1}, b_{2};
  std::unique_ptr<Server> first_, second_;
  testing::FakeClock clock_;  // of what is kept; timeouts are tested with the real one
  Resolver::Options options_;
  std::unique_ptr<Resolver> resolver_;
  bool late_ = false;
};

TEST_F(ResolverTest, BothFamiliesIPv4First) {
  first_->answers = Both;
  const Result result = Ask("API.example.com.");
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_THAT(*result, ElementsAre(kOne, kTwo, kV6));
  ASSERT_THAT(first_->asked, SizeIs(2));
  EXPECT_EQ(first_->asked[0].question.name, kName);
  EXPECT_NE(first_->asked[0].question.type, first_->asked[1].question.type);
  EXPECT_NE(first_->asked[0].from.port, first_->asked[1].from.port);
  EXPECT_THAT(second_->asked, IsEmpty());
}

TEST_F(ResolverTest, AsksForTheFamiliesThatTheOverlayHas) {
  options_.ipv6 = false;
  first_->answers = Both;
  EXPECT_THAT(*Ask(), ElementsAre(kOne, kTwo));
  EXPECT_THAT(first_->asked, SizeIs(1));
}

TEST_F(ResolverTest, PortsAndIdsAreDrawn) {
  first_->answers = NoName;
  for (int i = 0; i < 20; ++i) EXPECT_TRUE(absl::IsNotFound(Ask(absl::StrCat("n", i, ".example.com")).status()));
  std::map<uint16_t, int> ports, ids;
  for (const Server::Asked& asked : first_->asked) {
    ++ports[asked.from.port];
    ++ids[asked.question.id];
  }
  // Of 40: some may be equal by chance, neighbours in order are not.
  EXPECT_THAT(ports, SizeIs(Gt(30u)));
  EXPECT_THAT(ids, SizeIs(Gt(30u)));
  EXPECT_GT(ports.rbegin()->first - ports.begin()->first, 10'000);
  EXPECT_GT(ids.rbegin()->first - ids.begin()->first, 10'000);
}

TEST_F(ResolverTest, KeepsAnAnswerAsLongAsItSays) {
  first_->answers = Both;  // 50 s
  EXPECT_TRUE(Ask().ok());
  clock_.Advance(absl::Seconds(49));
  EXPECT_THAT(*Ask(), ElementsAre(kOne, kTwo, kV6));
  EXPECT_THAT(first_->asked, SizeIs(2));
  clock_.Advance(absl::Seconds(1));
  EXPECT_TRUE(Ask().ok());
  EXPECT_THAT(first_->asked, SizeIs(4));
}

TEST_F(ResolverTest, HugeAndNoTtlsHaveBounds) {
  options_.ipv6 = false;
  uint32_t ttl_s = INT32_MAX;
  first_->answers = [&](const DnsQuestion& question) -> std::vector<Bytes> {
    return {DnsAnswerBuilder(question).Address(question.name, kOne, ttl_s).Message()};
  };
  EXPECT_TRUE(Ask().ok());
  clock_.Advance(absl::Seconds(3599));
  EXPECT_TRUE(Ask().ok());
  EXPECT_THAT(first_->asked, SizeIs(1));
  clock_.Advance(absl::Seconds(1));
  ttl_s = 0;
  EXPECT_TRUE(Ask().ok());
  EXPECT_TRUE(Ask().ok());
  EXPECT_THAT(first_->asked, SizeIs(2));
  clock_.Advance(absl::Seconds(1));
  EXPECT_TRUE(Ask().ok());
  EXPECT_THAT(first_->asked, SizeIs(3));
}

TEST_F(ResolverTest, NoSuchNameIsKeptByTheSoa) {
  first_->answers = NoName;  // 60 s
  const Result result = Ask();
  EXPECT_TRUE(absl::IsNotFound(result.status())) << result.status();
  EXPECT_EQ(result.status().message(), "api.example.com: no such name, or it has no address");
  clock_.Advance(absl::Seconds(59));
  EXPECT_TRUE(absl::IsNotFound(Ask().status()));
  EXPECT_THAT(first_->asked, SizeIs(2));
  clock_.Advance(absl::Seconds(1));
  first_->answers = Both;
  EXPECT_TRUE(Ask().ok());
}

TEST_F(ResolverTest, ANegativeAnswerHasItsBoundAndWithoutSoaIsNotKept) {
  options_.ipv6 = false;
  first_->answers = [](const DnsQuestion& question) -> std::vector<Bytes> {
    return {DnsAnswerBuilder(question, 3).Soa("example.com", 86400, 86400).Message()};
  };
  EXPECT_TRUE(absl::IsNotFound(Ask().status()));
  clock_.Advance(absl::Seconds(300));
  first_->answers = [](const DnsQuestion& question) -> std::vector<Bytes> {
    return {DnsAnswerBuilder(question, 3).Message()};
  };
  EXPECT_TRUE(absl::IsNotFound(Ask().status()));
  EXPECT_TRUE(absl::IsNotFound(Ask().status()));
  EXPECT_THAT(first_->asked, SizeIs(3));
}

TEST_F(ResolverTest, OneFamilyIsEnoughAndSaysHowLongItIsKept) {
  first_->answers = [](const DnsQuestion& question) -> std::vector<Bytes> {
    if (question.type == kDnsAaaa) return Both(question);  // 100 s
    return {DnsAnswerBuilder(question).Message()};         // no SOA: not to be kept
  };
  EXPECT_THAT(*Ask(), ElementsAre(kV6));
  clock_.Advance(absl::Seconds(99));
  EXPECT_THAT(*Ask(), ElementsAre(kV6));
  EXPECT_THAT(first_->asked, SizeIs(2));
}

TEST_F(ResolverTest, FollowsAliases) {
  options_.ipv6 = false;
  first_->answers = [](const DnsQuestion& question) -> std::vector<Bytes> {
    return {DnsAnswerBuilder(question).Alias(kName, "b.example.org", 9).Address("b.example.org", kTwo, 9).Message()};
  };
  EXPECT_THAT(*Ask(), ElementsAre(kTwo));
}

TEST_F(ResolverTest, ATruncatedAnswerIsAskedForOverTcp) {
  first_->answers = [](const DnsQuestion& question) -> std::vector<Bytes> {
    return {DnsAnswerBuilder(question).Truncated().Message()};
  };
  first_->tcp_answers = Both;
  EXPECT_THAT(*Ask(), ElementsAre(kOne, kTwo, kV6));
  ASSERT_THAT(first_->asked, SizeIs(4));
  EXPECT_FALSE(first_->asked[0].tcp);
  EXPECT_TRUE(first_->asked[3].tcp);
  EXPECT_THAT(second_->asked, IsEmpty());
}

TEST_F(ResolverTest, AServerThatHangsUpIsLeftForTheNext) {
  first_->answers = [](const DnsQuestion& question) -> std::vector<Bytes> {
    return {DnsAnswerBuilder(question).Truncated().Message()};
  };
  first_->tcp_answers = Both;
  first_->hang_up = true;
  second_->answers = Both;
  EXPECT_THAT(*Ask(), ElementsAre(kOne, kTwo, kV6));
  EXPECT_THAT(second_->asked, SizeIs(2));
}

TEST_F(ResolverTest, OverTcpToAnotherQuestionIsNoAnswer) {
  first_->answers = [](const DnsQuestion& question) -> std::vector<Bytes> {
    return {DnsAnswerBuilder(question).Truncated().Message()};
  };
  first_->tcp_answers = [](DnsQuestion question) -> std::vector<Bytes> {
    question.id ^= 1;
    return {DnsAnswerBuilder(question).Address(kName, kV6, 9).Message()};
  };
  second_->answers = Both;
  EXPECT_THAT(*Ask(), ElementsAre(kOne, kTwo, kV6));
}

// Each comes before the right one, which is taken all the same.
TEST_F(ResolverTest, ForgeriesAreNotRead) {
  options_.ipv6 = false;
  const IpAddress forged = IpAddress::FromV4({203, 0, 113, 66});
  first_->answers = [&](const DnsQuestion& question) -> std::vector<Bytes> {
    std::vector<Bytes> answers;
    DnsQuestion other = question;
    other.id ^= 1;
    answers.push_back(DnsAnswerBuilder(other).Address(kName, forged, 9).Message());
    other = question;
    other.name = "apj.example.com";
    answers.push_back(DnsAnswerBuilder(other).Address(kName, forged, 9).Message());
    other = question;
    other.type = kDnsAaaa;
    answers.push_back(DnsAnswerBuilder(other).Address(kName, forged, 9).Message());
    answers.push_back(MakeDnsQuery(question));
    answers.push_back({});
    answers.push_back(Bytes(11, 0xff));
    answers.push_back(Both(question)[0]);
    return answers;
  };
  EXPECT_THAT(*Ask(), ElementsAre(kOne, kTwo));
  EXPECT_THAT(first_->asked, SizeIs(1));
}

TEST_F(ResolverTest, AnAnswerFromAnotherServerIsNotRead) {
  options_.ipv6 = false;
  options_.servers = {first_->endpoint()};
  const auto stranger = b_.overlay->stack().Bind({Overlay(2), 5353});
  ASSERT_TRUE(stranger.ok());
  first_->answers = [&](const DnsQuestion& question) {
    const IpAddress forged = IpAddress::FromV4({203, 0, 113, 66});
    EXPECT_EQ(
        (*stranger)->Send(DnsAnswerBuilder(question).Address(kName, forged, 9).Message(), first_->asked.back().from),
        netstack::UdpResult::kOk);
    return Both(question);
  };
  EXPECT_THAT(*Ask(), ElementsAre(kOne, kTwo));
}

TEST_F(ResolverTest, NonsenseAndFailuresAreLeftForTheNextServer) {
  for (const Server::Answers& bad :
       {Server::Answers(Failure), Server::Answers([](const DnsQuestion& question) -> std::vector<Bytes> {
          Bytes message = DnsAnswerBuilder(question).Address(kName, kOne, 9).Message();
          message.pop_back();
          message.pop_back();
          return {message};
        })}) {
    resolver_ = nullptr;
    first_->answers = bad;
    second_->answers = Both;
    EXPECT_THAT(*Ask(), ElementsAre(kOne, kTwo, kV6));
  }
}

TEST_F(ResolverTest, ThatAllServersFailIsToldAtOnceAndNotKept) {
  options_.patience = absl::Hours(1);
  first_->answers = second_->answers = Failure;
  const Result result = Ask();
  EXPECT_TRUE(absl::IsUnavailable(result.status())) << result.status();
  EXPECT_THAT(first_->asked, SizeIs(2));
  EXPECT_THAT(second_->asked, SizeIs(2));
  first_->answers = Both;
  EXPECT_TRUE(Ask().ok());
}

TEST_F(ResolverTest, NobodyListensIsAFailure) {
  options_.servers = {{Overlay(2), 99}, second_->endpoint()};
  second_->answers = Both;
  EXPECT_TRUE(Ask().ok());
}

TEST_F(ResolverTest, ServersWithoutARouteAreAFailure) {
  options_.servers = {{*IpAddress::Parse("2001:db8::53"), 53}};
  EXPECT_TRUE(absl::IsUnavailable(Ask().status()));
}

TEST_F(ResolverTest, ASilentServerIsLeftAndTheNextIsAskedFirstFromThenOn) {
  options_.try_for = absl::Milliseconds(50);
  resolver(RealClock());
  second_->answers = Both;
  EXPECT_THAT(*Ask(), ElementsAre(kOne, kTwo, kV6));
  EXPECT_THAT(first_->asked, SizeIs(2));
  EXPECT_TRUE(Ask("other.example.com").ok());
  EXPECT_THAT(first_->asked, SizeIs(2));
  EXPECT_THAT(second_->asked, SizeIs(4));
}

TEST_F(ResolverTest, ALostQuestionIsAskedAgain) {
  options_.try_for = absl::Milliseconds(50);
  options_.servers = {first_->endpoint()};
  resolver(RealClock());
  first_->answers = [&](const DnsQuestion& question) {
    return first_->asked.size() <= 2 ? std::vector<Bytes>() : Both(question);
  };
  EXPECT_THAT(*Ask(), ElementsAre(kOne, kTwo, kV6));
}

TEST_F(ResolverTest, PatienceEnds) {
  options_.try_for = absl::Milliseconds(20);
  options_.patience = absl::Milliseconds(100);
  resolver(RealClock());
  EXPECT_TRUE(absl::IsUnavailable(Ask().status()));
  EXPECT_THAT(first_->asked, SizeIs(Gt(0u)));
  EXPECT_THAT(second_->asked, SizeIs(Gt(0u)));
}

TEST_F(ResolverTest, AServerThatDropsOneFamilyDelaysByOneTry) {
  options_.try_for = absl::Milliseconds(50);
  options_.patience = absl::Hours(1);
  resolver(RealClock());
  first_->answers = [](const DnsQuestion& question) {
    return question.type == kDnsAaaa ? std::vector<Bytes>() : Both(question);
  };
  EXPECT_THAT(*Ask(), ElementsAre(kOne, kTwo));
  EXPECT_THAT(second_->asked, IsEmpty());
}

TEST_F(ResolverTest, OneQuestionIsOnItsWayForAName) {
  first_->answers = Both;
  int answered = 0;
  for (int i = 0; i < 10; ++i) {
    resolver().Resolve(i % 2 == 0 ? kName : "API.EXAMPLE.COM", [&](Result result) {
      EXPECT_THAT(*result, ElementsAre(kOne, kTwo, kV6));
      if (++answered == 10) loop_->Stop();
    });
  }
  Run();
  EXPECT_THAT(first_->asked, SizeIs(2));
}

TEST_F(ResolverTest, NoAnswerComesFromWithinResolve) {
  options_.servers = {};
  bool answered = false;
  for (const absl::string_view name : {"not a name", kName}) {
    answered = false;
    const auto id = resolver().Resolve(name, [&](Result result) {
      EXPECT_EQ(absl::IsInvalidArgument(result.status()), name != kName) << result.status();
      EXPECT_EQ(absl::IsFailedPrecondition(result.status()), name == kName) << result.status();
      answered = true;
      loop_->Stop();
    });
    EXPECT_GT(id, 0u);
    EXPECT_FALSE(answered);
    Run();
    EXPECT_TRUE(answered);
  }
}

TEST_F(ResolverTest, NoServerNamesTheFlag) {
  options_.servers = {};
  EXPECT_THAT(std::string(Ask().status().message()), ::testing::HasSubstr("--dns"));
}

TEST_F(ResolverTest, TooManyAtOnceAreRefused) {
  options_.max_pending = 2;
  first_->answers = Both;
  std::vector<absl::StatusCode> codes(3, absl::StatusCode::kUnknown);
  int answered = 0;
  for (int i = 0; i < 3; ++i) {
    resolver().Resolve(absl::StrCat("n", i), [&, i](Result result) {
      codes[i] = result.status().code();
      if (++answered == 3) loop_->Stop();
    });
  }
  Run();
  EXPECT_THAT(codes, ElementsAre(absl::StatusCode::kOk, absl::StatusCode::kOk, absl::StatusCode::kResourceExhausted));
  EXPECT_TRUE(Ask("n3").ok());
}

TEST_F(ResolverTest, TheOldestThatIsKeptMakesRoom) {
  options_.max_cached = 2;
  first_->answers = Both;
  for (const char* name : {"n1", "n2", "n3"}) EXPECT_TRUE(Ask(name).ok());
  EXPECT_THAT(first_->asked, SizeIs(6));
  for (const char* name : {"n2", "n3"}) EXPECT_TRUE(Ask(name).ok());
  EXPECT_THAT(first_->asked, SizeIs(6));
  EXPECT_TRUE(Ask("n1").ok());
  EXPECT_THAT(first_->asked, SizeIs(8));
}

TEST_F(ResolverTest, WhoCancelsHearsNothing) {
  first_->answers = Both;
  const auto never = [](Result) { FAIL() << "cancelled"; };
  resolver().Cancel(resolver().Resolve("alone", never));
  const auto shared = resolver().Resolve(kName, never);
  const auto id = resolver().Resolve("not a name", never);
  resolver().Cancel(id);
  resolver().Cancel(id);
  resolver().Cancel(12345);
  Result got = absl::UnknownError("");
  resolver().Resolve(kName, [&](Result result) {
    got = std::move(result);
    loop_->Stop();
  });
  resolver().Cancel(shared);
  Run();
  EXPECT_TRUE(got.ok());
}

TEST_F(ResolverTest, OtherServersAreAskedForWhatIsOnItsWayAndWhatWasKept) {
  options_.servers = {first_->endpoint()};
  first_->answers = [&](const DnsQuestion& question) {
    return question.name == kName ? std::vector<Bytes>() : Both(question);
  };
  EXPECT_TRUE(Ask("kept").ok());
  second_->answers = NoName;
  int answered = 0;
  for (int i = 0; i < 2; ++i) {
    resolver().Resolve(kName, [&](Result result) {
      EXPECT_TRUE(absl::IsNotFound(result.status())) << result.status();
      if (++answered == 2) loop_->Stop();
    });
  }
  resolver().SetServers({second_->endpoint()});
  Run();
  EXPECT_THAT(second_->asked, SizeIs(2));
  EXPECT_TRUE(absl::IsNotFound(Ask("kept").status()));
  resolver().Resolve("third.example.com", [&](Result result) {
    EXPECT_TRUE(absl::IsFailedPrecondition(result.status())) << result.status();
    loop_->Stop();
  });
  resolver().SetServers({});
  Run();
}

TEST_F(ResolverTest, AnAnswerMayAskAndCancel) {
  first_->answers = Both;
  Resolver::QuestionId second = 0;
  resolver().Resolve(kName, [&](Result) {
    resolver().Cancel(second);
    resolver().Resolve("another.example.com", [&](Result result) {
      EXPECT_TRUE(result.ok());
      loop_->Stop();
    });
  });
  second = resolver().Resolve(kName, [](Result) { FAIL() << "cancelled"; });
  Run();
}

TEST_F(ResolverTest, ItsEndLeavesQuestionsUnanswered) {
  resolver().Resolve(kName, [](Result) { FAIL() << "nobody waits"; });
  resolver().Resolve("not a name", [](Result) { FAIL() << "nobody waits"; });
  resolver_ = nullptr;
  first_->answers = Both;
  EXPECT_TRUE(Ask("other.example.com").ok());
}

}  // namespace
}  // namespace lattice::sandbox
