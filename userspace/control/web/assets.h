// The dashboard's files as bytes in the program: what npm built, or one page that says there is no dashboard.
//
// Promise: "/index.html" is always there. A file is there plain and, if it was built by npm, compressed as well.
// Immutable data; any thread.
#ifndef USERSPACE_CONTROL_WEB_ASSETS_H_
#define USERSPACE_CONTROL_WEB_ASSETS_H_

#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace lattice::control {

struct Asset {
  absl::string_view path;  // "/index.html", "/assets/app.<hash>.js"
  absl::string_view content_type;
  absl::string_view etag;  // with its quotes; another one for the compressed form
  absl::string_view body;
  bool gzip = false;       // the body is for Content-Encoding: gzip
  bool immutable = false;  // its path names its content: may be cached for ever
};

absl::Span<const Asset> Assets();

// Of `path`; the compressed one if the client takes it and there is one. Null: there is none.
const Asset* FindAsset(absl::string_view path, bool accepts_gzip);

// What the server answers outside of /api: `path` itself, or the page for every path of its own routing, which is one
// without a dot in its last part ("/", "/flows"). Null: 404.
const Asset* FindPage(absl::string_view path, bool accepts_gzip);

}  // namespace lattice::control

#endif  // USERSPACE_CONTROL_WEB_ASSETS_H_
