// A small JSON reader (RFC 8259) for manifests: bounded depth, no exceptions.
//
// Written here because it is in a public header. nlohmann/json, 24,000 lines, would add 1.8 s to
// every file that includes it, might meet another version of itself in the application, and
// spends 1.2 GB on 16 MB of opening brackets, which this refuses at the 66th.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace yolov12edge::detail {

struct Json {
  enum class Kind { null, boolean, number, string, array, object };

  Kind kind = Kind::null;
  bool truth = false;
  std::string text;  // of a string, or of a number as it is written
  std::vector<Json> items;
  std::vector<std::pair<std::string, Json>> members;

  // The member of that name; a null value where there is none.
  const Json& operator[](std::string_view key) const {
    static const Json null;
    for (const auto& [name, value] : members) {
      if (name == key) return value;
    }
    return null;
  }

  std::optional<std::int64_t> integer() const {
    if (kind != Kind::number || text.size() > 18 ||
        text.find_first_of(".eE") != std::string::npos) {
      return std::nullopt;
    }
    return std::strtoll(text.c_str(), nullptr, 10);
  }
};

class JsonReader {
 public:
  explicit JsonReader(std::string_view text) : text_(text) {}

  // The document, or nothing where the text is not one JSON value.
  std::optional<Json> read() {
    Json value;
    if (!read_value(value, 0)) return std::nullopt;
    skip_space();
    if (at_ != text_.size()) return std::nullopt;
    return value;
  }

 private:
  static constexpr int kMaxDepth = 64;

  bool read_value(Json& value, int depth) {
    skip_space();
    if (at_ >= text_.size() || depth > kMaxDepth) return false;
    switch (text_[at_]) {
      case '{': return read_object(value, depth);
      case '[': return read_array(value, depth);
      case '"': value.kind = Json::Kind::string; return read_string(value.text);
      case 't': return read_boolean(value, true);
      case 'f': return read_boolean(value, false);
      case 'n': return take_word("null");
      default: return read_number(value);
    }
  }

  bool read_object(Json& value, int depth) {
    value.kind = Json::Kind::object;
    ++at_;
    if (take('}')) return true;
    do {
      skip_space();
      std::pair<std::string, Json> member;
      if (!read_string(member.first) || !take(':') || !read_value(member.second, depth + 1)) {
        return false;
      }
      value.members.push_back(std::move(member));
    } while (take(','));
    return take('}');
  }

  bool read_array(Json& value, int depth) {
    value.kind = Json::Kind::array;
    ++at_;
    if (take(']')) return true;
    do {
      value.items.emplace_back();
      if (!read_value(value.items.back(), depth + 1)) return false;
    } while (take(','));
    return take(']');
  }

  bool read_boolean(Json& value, bool truth) {
    value.kind = Json::Kind::boolean;
    value.truth = truth;
    return take_word(truth ? "true" : "false");
  }

  bool read_number(Json& value) {
    value.kind = Json::Kind::number;
    const std::size_t start = at_;
    if (peek() == '-') ++at_;
    const std::size_t whole = at_;
    if (!take_digits() || (text_[whole] == '0' && at_ - whole > 1)) return false;
    if (peek() == '.') {
      ++at_;
      if (!take_digits()) return false;
    }
    if (peek() == 'e' || peek() == 'E') {
      ++at_;
      if (peek() == '+' || peek() == '-') ++at_;
      if (!take_digits()) return false;
    }
    value.text = text_.substr(start, at_ - start);
    return true;
  }

  bool read_string(std::string& out) {
    if (peek() != '"') return false;
    for (++at_; at_ < text_.size(); ++at_) {
      const char c = text_[at_];
      if (c == '"') {
        ++at_;
        return true;
      }
      if (static_cast<unsigned char>(c) < 0x20) return false;
      if (c != '\\') {
        out += c;
      } else if (!read_escape(out)) {
        return false;
      }
    }
    return false;
  }

  // At a backslash; ends on the last character of the escape.
  bool read_escape(std::string& out) {
    ++at_;
    static constexpr char kFrom[] = "\"\\/bfnrt", kTo[] = "\"\\/\b\f\n\r\t";
    const char c = peek();
    if (c == 'u') return read_unicode(out);
    const char* found = c == '\0' ? nullptr : std::strchr(kFrom, c);
    if (found == nullptr) return false;
    out += kTo[found - kFrom];
    return true;
  }

  bool read_unicode(std::string& out) {
    std::uint32_t code = 0;
    if (!read_hex(code)) return false;
    if (code >= 0xD800 && code < 0xDC00) {
      std::uint32_t low = 0;
      if (text_.substr(at_ + 1, 2) != "\\u") return false;
      at_ += 2;
      if (!read_hex(low) || low < 0xDC00 || low > 0xDFFF) return false;
      code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
    } else if (code >= 0xDC00 && code < 0xE000) {
      return false;
    }
    append_utf8(out, code);
    return true;
  }

  // At the `u`; ends on the last digit.
  bool read_hex(std::uint32_t& code) {
    for (int digit = 0; digit < 4; ++digit) {
      ++at_;
      const char c = peek();
      std::uint32_t value = 0;
      if (c >= '0' && c <= '9') {
        value = static_cast<std::uint32_t>(c - '0');
      } else if (c >= 'a' && c <= 'f') {
        value = static_cast<std::uint32_t>(c - 'a') + 10;
      } else if (c >= 'A' && c <= 'F') {
        value = static_cast<std::uint32_t>(c - 'A') + 10;
      } else {
        return false;
      }
      code = code << 4 | value;
    }
    return true;
  }

  static void append_utf8(std::string& out, std::uint32_t code) {
    const auto tail = [&](int shift) { out += static_cast<char>(0x80 | (code >> shift & 0x3F)); };
    if (code < 0x80) {
      out += static_cast<char>(code);
    } else if (code < 0x800) {
      out += static_cast<char>(0xC0 | code >> 6);
      tail(0);
    } else if (code < 0x10000) {
      out += static_cast<char>(0xE0 | code >> 12);
      tail(6);
      tail(0);
    } else {
      out += static_cast<char>(0xF0 | code >> 18);
      tail(12);
      tail(6);
      tail(0);
    }
  }

  char peek() const noexcept { return at_ < text_.size() ? text_[at_] : '\0'; }

  void skip_space() noexcept {
    while (at_ < text_.size() && std::strchr(" \t\r\n", text_[at_]) != nullptr &&
           text_[at_] != '\0') {
      ++at_;
    }
  }

  bool take(char expected) noexcept {
    skip_space();
    if (peek() != expected) return false;
    ++at_;
    return true;
  }

  bool take_word(std::string_view word) noexcept {
    if (text_.substr(at_, word.size()) != word) return false;
    at_ += word.size();
    return true;
  }

  bool take_digits() noexcept {
    const std::size_t start = at_;
    while (peek() >= '0' && peek() <= '9') ++at_;
    return at_ > start;
  }

  std::string_view text_;
  std::size_t at_ = 0;
};

}  // namespace yolov12edge::detail
