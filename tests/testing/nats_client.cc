#include "tests/testing/nats_client.h"

namespace lattice::testing {

natsStatus ConnectNatsClient(const std::string& url, const std::string& tls_ca_file, natsConnection** connection) {
  natsOptions* options = nullptr;
  natsStatus status = natsOptions_Create(&options);
  if (status == NATS_OK) status = natsOptions_SetURL(options, url.c_str());
  if (status == NATS_OK) status = natsOptions_SetReconnectWait(options, 50);
  if (status == NATS_OK) status = natsOptions_SetMaxReconnect(options, 10'000);
  if (status == NATS_OK && !tls_ca_file.empty()) status = natsOptions_SetSecure(options, true);
  if (status == NATS_OK && !tls_ca_file.empty()) {
    status = natsOptions_LoadCATrustedCertificates(options, tls_ca_file.c_str());
  }
  if (status == NATS_OK) status = natsConnection_Connect(connection, options);
  natsOptions_Destroy(options);
  return status;
}

}  // namespace lattice::testing
