// lwIP calls sys_now() for the time; the one below takes the place of the library's. Without lwIP's own thread its
// check of the core lock passes for every thread.
#include "tests/unit/netstack/lwip_peer.h"

#include <lwip/init.h>
#include <lwip/ip.h>
#include <lwip/netif.h>
#include <lwip/pbuf.h>
#include <lwip/tcp.h>
#include <lwip/timeouts.h>

#include <algorithm>
#include <vector>

#include "glog/logging.h"
#include "tests/testing/netstack_network.h"

namespace {
uint32_t g_now_ms = 1;
netif g_netif;
tcp_pcb* g_listener = nullptr;
tcp_pcb* g_pcb = nullptr;
}  // namespace

extern "C" u32_t sys_now() {
  return g_now_ms;
}

namespace lattice::testing {
namespace {

err_t Output(netif*, pbuf* p, const ip4_addr_t*) {
  std::string packet(p->tot_len, '\0');
  pbuf_copy_partial(p, packet.data(), p->tot_len, 0);
  LwipPeer::Get().send(std::move(packet));
  return ERR_OK;
}

err_t Initialise(netif* n) {
  n->mtu = 1420;
  n->output = Output;
  return ERR_OK;
}

void Write() {
  LwipPeer& peer = LwipPeer::Get();
  while (g_pcb != nullptr && peer.sent < peer.want && tcp_sndbuf(g_pcb) > 0) {
    const auto take = static_cast<u16_t>(std::min<uint64_t>({peer.want - peer.sent, tcp_sndbuf(g_pcb), 4096}));
    std::vector<uint8_t> piece(take);
    FillStream(peer.seed, peer.sent, absl::MakeSpan(piece));
    if (tcp_write(g_pcb, piece.data(), take, TCP_WRITE_FLAG_COPY) != ERR_OK) break;
    peer.sent += take;
    if (peer.sent == peer.want) tcp_shutdown(g_pcb, 0, 1);
  }
  if (g_pcb != nullptr) tcp_output(g_pcb);
}

err_t OnReceive(void*, tcp_pcb* pcb, pbuf* p, err_t) {
  LwipPeer& peer = LwipPeer::Get();
  if (p == nullptr) {
    peer.eof = true;
    return ERR_OK;
  }
  std::vector<uint8_t> bytes(p->tot_len);
  pbuf_copy_partial(p, bytes.data(), p->tot_len, 0);
  peer.mismatch |= !MatchesStream(peer.peer_seed, peer.received, bytes);
  peer.received += bytes.size();
  tcp_recved(pcb, p->tot_len);
  pbuf_free(p);
  return ERR_OK;
}

err_t OnSent(void*, tcp_pcb*, u16_t) {
  Write();
  return ERR_OK;
}

void OnError(void*, err_t) {
  LwipPeer& peer = LwipPeer::Get();
  peer.failed = !peer.eof || peer.sent != peer.want;
  g_pcb = nullptr;
}

void Take(tcp_pcb* pcb) {
  g_pcb = pcb;
  tcp_recv(pcb, OnReceive);
  tcp_sent(pcb, OnSent);
  tcp_err(pcb, OnError);
}

err_t OnConnected(void*, tcp_pcb* pcb, err_t) {
  LwipPeer::Get().connected = true;
  if (LwipPeer::Get().want == 0) tcp_shutdown(pcb, 0, 1);
  Write();
  return ERR_OK;
}

err_t OnAccept(void*, tcp_pcb* pcb, err_t error) {
  if (error != ERR_OK) return error;
  Take(pcb);
  return OnConnected(nullptr, pcb, ERR_OK);
}

}  // namespace

LwipPeer::LwipPeer() {
  lwip_init();
  ip4_addr_t address, mask, gateway;
  IP4_ADDR(&address, 192, 0, 2, 2);
  IP4_ADDR(&mask, 255, 255, 255, 0);
  IP4_ADDR(&gateway, 192, 0, 2, 1);
  CHECK(netif_add(&g_netif, &address, &mask, &gateway, nullptr, Initialise, ip_input) != nullptr);
  netif_set_default(&g_netif);
  netif_set_up(&g_netif);
  netif_set_link_up(&g_netif);
}

LwipPeer& LwipPeer::Get() {
  static auto* peer = new LwipPeer;
  return *peer;
}

void LwipPeer::Receive(const std::string& packet) {
  pbuf* p = pbuf_alloc(PBUF_RAW, static_cast<u16_t>(packet.size()), PBUF_RAM);
  CHECK(p != nullptr);
  pbuf_take(p, packet.data(), static_cast<u16_t>(packet.size()));
  if (g_netif.input(p, &g_netif) != ERR_OK) pbuf_free(p);
}

void LwipPeer::Advance(uint32_t now_ms) {
  g_now_ms = now_ms;
  sys_check_timeouts();
  // What it could not write for want of memory.
  if (connected) Write();
}

void LwipPeer::Start(uint64_t bytes, uint64_t own, uint64_t other) {
  sent = received = 0;
  want = bytes;
  seed = own;
  peer_seed = other;
  mismatch = eof = failed = connected = false;
}

void LwipPeer::Listen(uint16_t port) {
  tcp_pcb* pcb = tcp_new();
  CHECK(pcb != nullptr && tcp_bind(pcb, IP_ADDR_ANY, port) == ERR_OK);
  g_listener = tcp_listen(pcb);
  tcp_accept(g_listener, OnAccept);
}

void LwipPeer::Connect(uint32_t address, uint16_t port) {
  tcp_pcb* pcb = tcp_new();
  CHECK(pcb != nullptr);
  Take(pcb);
  ip_addr_t to = IPADDR4_INIT(PP_HTONL(0));
  ip_2_ip4(&to)->addr = lwip_htonl(address);
  CHECK(tcp_connect(pcb, &to, port, OnConnected) == ERR_OK);
}

void LwipPeer::Stop() {
  if (g_listener != nullptr) tcp_close(g_listener);
  g_listener = nullptr;
  if (g_pcb == nullptr) return;
  tcp_pcb* pcb = g_pcb;
  g_pcb = nullptr;
  tcp_err(pcb, nullptr);
  tcp_abort(pcb);
}

}  // namespace lattice::testing
