#include "tools/lattice/args.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "userspace/base/status.h"

namespace lattice::cli {

Args::Flag& Args::Add(Flag flag) {
  flags_.push_back(std::move(flag));
  return flags_.back();
}

bool& Args::Switch(const std::string& name, const std::string& help, bool on) {
  return Add({.kind = Kind::kSwitch, .name = name, .help = help, .default_text = on ? "true" : "", .on = on}).on;
}

std::vector<std::string>& Args::List(const std::string& name, const std::string& placeholder, const std::string& help) {
  return Add({.kind = Kind::kList, .name = name, .placeholder = placeholder, .help = help}).list;
}

std::string& Args::Text(const std::string& name, const std::string& value, const std::string& placeholder,
                        const std::string& help) {
  return Add({.kind = Kind::kText,
              .name = name,
              .placeholder = placeholder,
              .help = help,
              .default_text = value,
              .text = value})
      .text;
}

uint64_t& Args::Number(const std::string& name, uint64_t value, const std::string& help) {
  return Add({.kind = Kind::kNumber,
              .name = name,
              .placeholder = "N",
              .help = help,
              .default_text = absl::StrCat(value),
              .number = value})
      .number;
}

std::string& Args::Positional(const std::string& placeholder, const std::string& help) {
  arguments_.push_back({placeholder, help, ""});
  return arguments_.back().value;
}

std::vector<std::string>& Args::Rest(const std::string& placeholder, const std::string& help) {
  rest_ = Argument{placeholder, help, ""};
  return rest_values_;
}

Args::Flag* Args::Find(absl::string_view name) {
  const auto found = std::find_if(flags_.begin(), flags_.end(), [&](const Flag& flag) { return flag.name == name; });
  return found == flags_.end() ? nullptr : &*found;
}

// `value` is what came after '=', or null; `*took_value`: the next word is wanted.
absl::Status Args::SetFlag(absl::string_view name, const std::string* value, bool* took_value) {
  *took_value = false;
  if (name == "help") {
    help_ = true;
    return absl::OkStatus();
  }
  Flag* const flag = Find(name);
  if (flag == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat("`", command_, "` has no flag --", name));
  }
  if (flag->kind == Kind::kSwitch) {
    if (value != nullptr && *value != "true" && *value != "false") {
      return absl::InvalidArgumentError(absl::StrCat("--", name, "=", *value, ": expected true or false, or no value"));
    }
    flag->on = value == nullptr || *value == "true";
    return absl::OkStatus();
  }
  if (value == nullptr) {
    *took_value = true;
    return absl::OkStatus();
  }
  if (flag->kind == Kind::kList) {
    flag->list.push_back(*value);
    return absl::OkStatus();
  }
  if (flag->kind == Kind::kText) {
    flag->text = *value;
    return absl::OkStatus();
  }
  if (!absl::SimpleAtoi(*value, &flag->number)) {
    return absl::InvalidArgumentError(absl::StrCat("--", name, "=", *value, ": expected a number"));
  }
  return absl::OkStatus();
}

absl::Status Args::Parse(const std::vector<std::string>& words) {
  size_t given = 0;
  for (size_t i = 0; i < words.size(); ++i) {
    const std::string& word = words[i];
    if (word == "-h") {
      help_ = true;
      continue;
    }
    if (!absl::StartsWith(word, "--")) {
      if (given == arguments_.size() && rest_.has_value()) {
        rest_values_.push_back(word);
        continue;
      }
      if (given == arguments_.size()) {
        return absl::InvalidArgumentError(absl::StrCat("`", command_, "` takes no argument \"", word, "\""));
      }
      arguments_[given++].value = word;
      continue;
    }
    const size_t equals = word.find('=');
    const std::string name = word.substr(2, equals == std::string::npos ? equals : equals - 2);
    const std::string inline_value = equals == std::string::npos ? "" : word.substr(equals + 1);
    bool wants_value = false;
    LATTICE_RETURN_IF_ERROR(SetFlag(name, equals == std::string::npos ? nullptr : &inline_value, &wants_value));
    if (!wants_value) continue;
    if (i + 1 == words.size()) return absl::InvalidArgumentError(absl::StrCat("--", name, " needs a value"));
    LATTICE_RETURN_IF_ERROR(SetFlag(name, &words[++i], &wants_value));
  }
  if (!help_ && given < arguments_.size()) {
    return absl::InvalidArgumentError(absl::StrCat("`", command_, "` needs ", arguments_[given].placeholder));
  }
  return absl::OkStatus();
}

std::string Args::HelpText() const {
  std::string usage = command_;
  std::string body;
  for (const Argument& argument : arguments_) {
    absl::StrAppend(&usage, " ", argument.placeholder);
    absl::StrAppend(&body, absl::StrFormat("  %-24s %s\n", argument.placeholder, argument.help));
  }
  if (rest_.has_value()) {
    absl::StrAppend(&usage, " [", rest_->placeholder, "]");
    absl::StrAppend(&body, absl::StrFormat("  %-24s %s\n", rest_->placeholder, rest_->help));
  }
  for (const Flag& flag : flags_) {
    const std::string left = absl::StrCat("--", flag.name, flag.placeholder.empty() ? "" : " ", flag.placeholder);
    const std::string shown = flag.default_text.empty() ? "" : absl::StrCat(" (default ", flag.default_text, ")");
    absl::StrAppend(&body, absl::StrFormat("  %-24s %s%s\n", left, flag.help, shown));
  }
  std::string text = absl::StrCat("usage: ", usage, " [flags]\n\n", summary_, "\n\n", body);
  if (!note_.empty()) absl::StrAppend(&text, "\n", note_, "\n");
  return text;
}

}  // namespace lattice::cli
