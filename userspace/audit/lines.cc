#include "userspace/audit/lines.h"

#include <algorithm>
#include <charconv>

namespace lattice::audit {
namespace {

constexpr size_t kPieceBytes = 256 * 1024;

}  // namespace

absl::StatusOr<bool> LineScanner::Fill() {
  if (pos_ > 0) {
    buffer_.erase(0, pos_);
    buffer_offset_ += static_cast<int64_t>(pos_);
    searched_ -= pos_;
    pos_ = 0;
  }
  const size_t old_size = buffer_.size();
  buffer_.resize(old_size + kPieceBytes);
  absl::StatusOr<size_t> n =
      file_.ReadAt(buffer_offset_ + static_cast<int64_t>(old_size), buffer_.data() + old_size, kPieceBytes);
  buffer_.resize(old_size + (n.ok() ? *n : 0));
  if (!n.ok()) return n.status();
  return *n > 0;
}

absl::StatusOr<std::optional<absl::string_view>> LineScanner::Next() {
  while (true) {
    const size_t end = buffer_.find('\n', searched_);
    if (end == std::string::npos) {
      searched_ = buffer_.size();
      if (buffer_.size() - pos_ > kMaxLineBytes) {
        skipping_ = true;
        pos_ = buffer_.size();
      }
      absl::StatusOr<bool> filled = Fill();
      if (!filled.ok()) return filled.status();
      if (!*filled) return std::nullopt;
      continue;
    }
    const absl::string_view line = absl::string_view(buffer_).substr(pos_, end - pos_);
    pos_ = searched_ = end + 1;
    offset_ = buffer_offset_ + static_cast<int64_t>(pos_);
    if (!skipping_ && line.size() <= kMaxLineBytes) return line;
    skipping_ = false;
    ++skipped_;
  }
}

absl::StatusOr<std::optional<std::string>> FirstLine(File& file) {
  std::string text;
  for (const size_t wanted : {size_t{4096}, kMaxLineBytes + 1}) {
    text.resize(wanted);
    absl::StatusOr<size_t> n = file.ReadAt(0, text.data(), wanted);
    if (!n.ok()) return n.status();
    text.resize(*n);
    const size_t end = text.find('\n');
    if (end != std::string::npos) {
      text.resize(end);
      return text;
    }
    if (*n < wanted) break;
  }
  return std::nullopt;
}

absl::StatusOr<int64_t> OffsetOfLastLines(File& file, size_t count) {
  absl::StatusOr<FileInfo> info = file.Stat();
  if (!info.ok()) return info.status();
  std::string piece;
  size_t ends = 0;  // '\n' seen: one more than lines begun after it
  for (int64_t from = info->size; from > 0;) {
    const int64_t to = from;
    from = std::max<int64_t>(0, to - static_cast<int64_t>(kPieceBytes));
    piece.resize(static_cast<size_t>(to - from));
    absl::StatusOr<size_t> n = file.ReadAt(from, piece.data(), piece.size());
    if (!n.ok()) return n.status();
    for (size_t i = *n; i > 0; --i) {
      if (piece[i - 1] == '\n' && ++ends > count) return from + static_cast<int64_t>(i);
    }
  }
  return 0;
}

absl::StatusOr<std::optional<std::string>> LastLine(File& file) {
  absl::StatusOr<int64_t> offset = OffsetOfLastLines(file, 1);
  if (!offset.ok()) return offset.status();
  LineScanner scanner(file, *offset);
  absl::StatusOr<std::optional<absl::string_view>> line = scanner.Next();
  if (!line.ok()) return line.status();
  if (!line->has_value()) return std::nullopt;
  return std::string(**line);
}

uint64_t SeqOfLine(absl::string_view line) {
  constexpr absl::string_view kName = ",\"seq\":";
  const size_t name = line.find(kName);
  if (name == absl::string_view::npos) return 0;
  const absl::string_view digits = line.substr(name + kName.size());
  uint64_t seq = 0;
  std::from_chars(digits.data(), digits.data() + digits.size(), seq);
  return seq;
}

}  // namespace lattice::audit
