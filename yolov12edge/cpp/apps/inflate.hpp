// Decompresses zlib streams (RFC 1950 and 1951), as far as PNG needs it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace yolov12edge::apps {

namespace detail {

// Canonical Huffman codes of at most 15 bits, decoded bit by bit.
class Huffman {
 public:
  // False where the lengths are no prefix code.
  bool build(const std::uint8_t* lengths, std::size_t count) {
    counts_.fill(0);
    for (std::size_t symbol = 0; symbol < count; ++symbol) ++counts_[lengths[symbol]];
    counts_[0] = 0;
    int left = 1;
    std::array<std::uint16_t, 16> offsets{};
    for (std::size_t bits = 1; bits < 16; ++bits) {
      left = 2 * left - counts_[bits];
      if (left < 0) return false;
      if (bits < 15) offsets[bits + 1] = static_cast<std::uint16_t>(offsets[bits] + counts_[bits]);
    }
    for (std::size_t symbol = 0; symbol < count; ++symbol) {
      if (lengths[symbol] != 0) {
        symbols_[offsets[lengths[symbol]]++] = static_cast<std::uint16_t>(symbol);
      }
    }
    return true;
  }

  // The next symbol; negative where the bits are no code.
  template <typename NextBit>
  int decode(const NextBit& next_bit) const {
    int code = 0, first = 0, index = 0;
    for (std::size_t bits = 1; bits < 16; ++bits) {
      const int bit = next_bit();
      if (bit < 0) return -1;
      code |= bit;
      const int count = counts_[bits];
      if (code - first < count) return symbols_[static_cast<std::size_t>(index + code - first)];
      index += count;
      first = (first + count) << 1;
      code <<= 1;
    }
    return -1;
  }

 private:
  std::array<std::uint16_t, 16> counts_{};
  std::array<std::uint16_t, 288> symbols_{};
};

class Inflater {
 public:
  Inflater(const std::vector<std::uint8_t>& packed, std::size_t limit,
           std::vector<std::uint8_t>& out)
      : packed_(packed), limit_(limit), out_(out) {}

  bool run() {
    at_ = 2;  // zlib's header; the checksum at the end is not looked at
    bool last = false;
    while (!last) {
      last = bits(1) == 1;
      bool done = false;
      switch (bits(2)) {
        case 0: done = stored(); break;
        case 1: done = fixed(); break;
        case 2: done = dynamic(); break;
        default: break;
      }
      if (!done || failed_) return false;
    }
    return out_.size() == limit_;
  }

 private:
  int bit() {
    if (held_ == 0) {
      if (at_ >= packed_.size()) {
        failed_ = true;
        return -1;
      }
      buffer_ = packed_[at_++];
      held_ = 8;
    }
    const int value = buffer_ & 1;
    buffer_ >>= 1;
    --held_;
    return value;
  }

  int bits(int count) {
    int value = 0;
    for (int index = 0; index < count; ++index) {
      const int next = bit();
      if (next < 0) return 0;
      value |= next << index;
    }
    return value;
  }

  bool stored() {
    held_ = 0;
    const auto length = static_cast<std::size_t>(bits(16));
    (void)bits(16);
    if (failed_ || packed_.size() - at_ < length || limit_ - out_.size() < length) return false;
    const auto start = packed_.begin() + static_cast<std::ptrdiff_t>(at_);
    out_.insert(out_.end(), start, start + static_cast<std::ptrdiff_t>(length));
    at_ += length;
    return true;
  }

  bool fixed() {
    std::array<std::uint8_t, 288> lengths{};
    for (std::size_t symbol = 0; symbol < 288; ++symbol) {
      lengths[symbol] = symbol < 144 ? 8 : symbol < 256 ? 9 : symbol < 280 ? 7 : 8;
    }
    std::array<std::uint8_t, 30> distances{};
    distances.fill(5);
    return literals_.build(lengths.data(), 288) && distances_.build(distances.data(), 30) &&
           block();
  }

  bool dynamic() {
    static constexpr std::uint8_t kOrder[19] = {16, 17, 18, 0, 8,  7, 9,  6, 10, 5,
                                                11, 4,  12, 3, 13, 2, 14, 1, 15};
    const auto literals = static_cast<std::size_t>(bits(5)) + 257;
    const auto distances = static_cast<std::size_t>(bits(5)) + 1;
    const auto codes = static_cast<std::size_t>(bits(4)) + 4;
    if (literals > 286 || distances > 30) return false;
    std::array<std::uint8_t, 320> lengths{};
    for (std::size_t index = 0; index < codes; ++index) {
      lengths[kOrder[index]] = static_cast<std::uint8_t>(bits(3));
    }
    if (failed_ || !literals_.build(lengths.data(), 19)) return false;
    if (!read_lengths(lengths, literals + distances)) return false;
    return literals_.build(lengths.data(), literals) &&
           distances_.build(lengths.data() + literals, distances) && block();
  }

  // Run-length coded lengths of both codes, with the code that literals_ holds just now.
  bool read_lengths(std::array<std::uint8_t, 320>& lengths, std::size_t count) {
    lengths.fill(0);
    for (std::size_t index = 0; index < count;) {
      const int symbol = literals_.decode([this] { return bit(); });
      if (symbol < 0) return false;
      if (symbol < 16) {
        lengths[index++] = static_cast<std::uint8_t>(symbol);
        continue;
      }
      if (symbol == 16 && index == 0) return false;
      const std::uint8_t repeated = symbol == 16 ? lengths[index - 1] : std::uint8_t{0};
      const int times = symbol == 16 ? 3 + bits(2) : symbol == 17 ? 3 + bits(3) : 11 + bits(7);
      for (int time = 0; time < times; ++time) {
        if (index >= count) return false;
        lengths[index++] = repeated;
      }
    }
    return !failed_;
  }

  bool block() {
    static constexpr std::uint16_t kLength[29] = {3,  4,  5,  6,  7,  8,  9,  10,  11,  13,
                                                  15, 17, 19, 23, 27, 31, 35, 43,  51,  59,
                                                  67, 83, 99, 115, 131, 163, 195, 227, 258};
    static constexpr std::uint8_t kLengthBits[29] = {0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2,
                                                     2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0};
    static constexpr std::uint16_t kDistance[30] = {
        1,   2,   3,   4,   5,   7,    9,    13,   17,   25,   33,   49,   65,    97,    129,
        193, 257, 385, 513, 769, 1025, 1537, 2049, 3073, 4097, 6145, 8193, 12289, 16385, 24577};
    const auto next_bit = [this] { return bit(); };
    while (true) {
      const int symbol = literals_.decode(next_bit);
      if (symbol < 0 || symbol > 285) return false;
      if (symbol == 256) return true;
      if (symbol < 256) {
        if (out_.size() >= limit_) return false;
        out_.push_back(static_cast<std::uint8_t>(symbol));
        continue;
      }
      const auto row = static_cast<std::size_t>(symbol - 257);
      const std::size_t length = kLength[row] + static_cast<std::size_t>(bits(kLengthBits[row]));
      const int code = distances_.decode(next_bit);
      if (code < 0 || code > 29) return false;
      const int extra = code < 4 ? 0 : code / 2 - 1;
      const std::size_t distance =
          kDistance[static_cast<std::size_t>(code)] + static_cast<std::size_t>(bits(extra));
      if (failed_ || distance > out_.size() || limit_ - out_.size() < length) return false;
      for (std::size_t index = 0; index < length; ++index) {
        out_.push_back(out_[out_.size() - distance]);
      }
    }
  }

  const std::vector<std::uint8_t>& packed_;
  std::size_t limit_;
  std::vector<std::uint8_t>& out_;
  std::size_t at_ = 0;
  int buffer_ = 0, held_ = 0;
  bool failed_ = false;
  Huffman literals_, distances_;
};

}  // namespace detail

// True where `packed` holds exactly `size` bytes.
inline bool inflate_zlib(const std::vector<std::uint8_t>& packed, std::size_t size,
                         std::vector<std::uint8_t>& out) {
  return packed.size() > 2 && detail::Inflater(packed, size, out).run();
}

}  // namespace yolov12edge::apps
