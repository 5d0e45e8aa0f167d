// Model files read whole and checked against their description before a runtime sees them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "yolov12edge/detail/sha256.hpp"
#include "yolov12edge/model_info.hpp"
#include "yolov12edge/status.hpp"

namespace yolov12edge {

using Bytes = std::vector<std::uint8_t>;

// All bytes of a file of at most `limit` bytes.
inline Result<Bytes> read_file(const std::string& path,
                               std::size_t limit = std::numeric_limits<std::size_t>::max()) {
  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  const std::unique_ptr<std::FILE, Close> file(std::fopen(path.c_str(), "rb"));
  if (!file) return Status(StatusCode::file_not_found, "cannot open " + path);
  constexpr std::size_t kPiece = std::size_t{1} << 20;
  Bytes content;
  std::size_t got = 0;
  do {
    const std::size_t start = content.size();
    content.resize(start + kPiece);
    got = std::fread(content.data() + start, 1, kPiece, file.get());
    content.resize(start + got);
    if (content.size() > limit) {
      return Status(StatusCode::invalid_argument,
                    path + " has more than " + std::to_string(limit) + " bytes");
    }
  } while (got == kPiece);
  if (std::ferror(file.get()) != 0) {
    return Status(StatusCode::file_not_found, "cannot read " + path);
  }
  return content;
}

inline std::string join_path(const std::string& folder, const std::string& name) {
  return folder.empty() || folder.back() == '/' ? folder + name : folder + "/" + name;
}

// The bytes of one of the model folder's files, if it is the file that `expected` describes.
inline Result<Bytes> read_model_file(const std::string& folder, const ModelFile& expected) {
  const std::string path = join_path(folder, expected.name);
  Result<Bytes> content = read_file(path);
  if (!content) return content;
  if (content->empty()) return Status(StatusCode::model_damaged, path + " is empty");
  if (expected.bytes != 0 && content->size() < expected.bytes) {
    return Status(StatusCode::model_damaged,
                  path + " is cut short: " + std::to_string(content->size()) + " of " +
                      std::to_string(expected.bytes) + " bytes; copy it again, in binary mode");
  }
  if (!expected.sha256.empty()) {
    detail::Sha256 digest;
    digest.update(content->data(), content->size());
    if (digest.hex() != expected.sha256) {
      return Status(StatusCode::model_mismatch,
                    path + " is not the file this program was made for: the SHA-256 differs");
    }
  }
  return content;
}

}  // namespace yolov12edge
