#include "userspace/control/audit/store_filter.h"

#include <algorithm>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "userspace/base/ip.h"
#include "userspace/base/status.h"
#include "userspace/control/audit/store_text.h"

namespace lattice::control {
namespace {

void AddList(absl::string_view column, absl::string_view operation, std::vector<OwnedValue> values,
             Conditions& conditions) {
  if (values.empty()) return;
  const std::string marks = absl::StrJoin(std::vector<std::string>(values.size(), "?"), ", ");
  conditions.Add(absl::StrCat(column, " ", operation, " (", marks, ")"), std::move(values));
}

// A text of a filter can hold what no row can; it must not be an error of the database.
std::string Searchable(std::string text) {
  CleanText(text, 8192);
  return text;
}

absl::Status AddNetworks(absl::string_view column, const std::vector<Network>& networks, Conditions& conditions) {
  Fragment any, none;
  for (const Network& network : networks) {
    LATTICE_ASSIGN_OR_RETURN(auto keys, KeysOf(network));
    Fragment& part = network.negate ? none : any;
    part.Append(absl::StrCat(part.text.empty() ? "" : " OR ", column, " BETWEEN ? AND ?"));
    part.values.insert(part.values.end(), {keys.first, keys.second});
  }
  if (!any.text.empty()) conditions.Add({absl::StrCat("(", any.text, ")"), std::move(any.values)});
  if (!none.text.empty()) conditions.Add({absl::StrCat("NOT (", none.text, ")"), std::move(none.values)});
  return absl::OkStatus();
}

}  // namespace

std::vector<sql::Param> ToParams(const std::vector<OwnedValue>& values) {
  std::vector<sql::Param> params;
  params.reserve(values.size());
  for (const OwnedValue& value : values) {
    params.push_back(value.is_text ? sql::Param(value.text) : sql::Param(value.number));
  }
  return params;
}

Fragment Conditions::Where() const {
  Fragment where;
  for (const Fragment& condition : conditions_) {
    where.Append(where.text.empty() ? " WHERE " : " AND ");
    where.Append(condition);
  }
  return where;
}

std::vector<std::string> PositiveValues(const std::vector<Term>& terms) {
  std::vector<std::string> values;
  for (const Term& term : terms) {
    if (!term.negate) values.push_back(Searchable(term.value));
  }
  std::sort(values.begin(), values.end());
  values.erase(std::unique(values.begin(), values.end()), values.end());
  return values;
}

absl::StatusOr<int64_t> PortOf(const Term& term) {
  int64_t port = 0;
  if (!absl::SimpleAtoi(term.value, &port) || port < 0 || port > 65535) {
    return absl::InvalidArgumentError(absl::StrCat("port=", term.value, ": expected 0 to 65535"));
  }
  return port;
}

absl::StatusOr<std::pair<std::string, std::string>> KeysOf(const Network& network) {
  LATTICE_ASSIGN_OR_RETURN(const IpPrefix prefix, IpPrefix::Parse(network.cidr));
  return NetworkKeys(prefix);
}

absl::Status AddTerms(const FlowFilter& filter, Conditions& conditions) {
  for (const TextField& field : kTextFields) {
    std::vector<OwnedValue> any, none;
    for (const Term& term : filter.*field.terms) (term.negate ? none : any).push_back(Searchable(term.value));
    AddList(field.column, "IN", std::move(any), conditions);
    AddList(field.column, "NOT IN", std::move(none), conditions);
  }
  std::vector<OwnedValue> any, none;
  for (const Term& term : filter.ports) {
    LATTICE_ASSIGN_OR_RETURN(const int64_t port, PortOf(term));
    (term.negate ? none : any).push_back(port);
  }
  AddList("dst_port", "IN", std::move(any), conditions);
  AddList("dst_port", "NOT IN", std::move(none), conditions);
  LATTICE_RETURN_IF_ERROR(AddNetworks("dst_key", filter.destinations, conditions));
  return AddNetworks("src_key", filter.sources, conditions);
}

}  // namespace lattice::control
