// The command lines of the apps: `--name value`, `--switch` and everything else.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>
#include <vector>

#include "yolov12edge/model_file.hpp"

namespace yolov12edge::apps {

class Arguments {
 public:
  // `options` take a value, `switches` do not. Prints `usage` and exits with 2 for anything else.
  Arguments(int count, char** values, const char* usage, const std::vector<std::string>& options,
            const std::vector<std::string>& switches = {})
      : usage_(usage) {
    const auto among = [](const std::vector<std::string>& names, const std::string& name) {
      for (const std::string& known : names) {
        if (known == name) return true;
      }
      return false;
    };
    for (int index = 1; index < count; ++index) {
      const std::string word = values[index];
      if (word.rfind("--", 0) != 0) {
        rest_.push_back(word);
      } else if (among(switches, word)) {
        given_[word] = "";
      } else if (among(options, word) && index + 1 < count) {
        given_[word] = values[++index];
      } else {
        stop(word == "--help" ? 0 : 2);
      }
    }
  }

  bool has(const std::string& name) const { return given_.count(name) != 0; }

  std::string text(const std::string& name, const std::string& otherwise) const {
    return has(name) ? given_.at(name) : otherwise;
  }

  double number(const std::string& name, double otherwise) const {
    if (!has(name)) return otherwise;
    char* end = nullptr;
    const double value = std::strtod(given_.at(name).c_str(), &end);
    if (given_.at(name).empty() || *end != '\0' || !(value >= 0 && value <= 1e6)) stop(2);
    return value;
  }

  const std::vector<std::string>& rest() const noexcept { return rest_; }

  [[noreturn]] void stop(int code) const {
    std::fprintf(code == 0 ? stdout : stderr, "%s", usage_);
    std::exit(code);
  }

 private:
  const char* usage_;
  std::map<std::string, std::string> given_;
  std::vector<std::string> rest_;
};

// The folder with model/ and golden/: --bundle, else where this program was compiled from.
inline std::string bundle_folder(const Arguments& arguments) {
  return arguments.text("--bundle", YOLOV12EDGE_BUNDLE_DIR);
}

inline int fail(const Status& status) {
  std::fprintf(stderr, "error: %s: %s\n", name_of(status.code()), status.message().c_str());
  return 10 + static_cast<int>(status.code());
}

inline std::string json_text(const std::string& text) {
  std::string quoted = "\"";
  for (const char c : text) {
    if (static_cast<unsigned char>(c) < 0x20) {
      char escape[8];
      std::snprintf(escape, sizeof escape, "\\u%04x", static_cast<unsigned>(c));
      quoted += escape;
    } else {
      if (c == '"' || c == '\\') quoted += '\\';
      quoted += c;
    }
  }
  return quoted + '"';
}

}  // namespace yolov12edge::apps
