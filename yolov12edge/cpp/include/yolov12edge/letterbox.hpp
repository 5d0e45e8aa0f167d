// Fit an image into the detector's input: scale, pad, normalise, make planar; in one pass.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "yolov12edge/detail/blend.hpp"
#include "yolov12edge/detail/color.hpp"
#include "yolov12edge/detail/taps.hpp"
#include "yolov12edge/geometry.hpp"
#include "yolov12edge/image.hpp"
#include "yolov12edge/status.hpp"

namespace yolov12edge {

// Not thread-safe: one instance a thread. Tables are kept while frames keep their size.
class Letterbox {
 public:
  explicit Letterbox(const LetterboxSpec& spec) : spec_(spec) {
    for (std::size_t value = 0; value < unit_.size(); ++value) {
      unit_[value] = static_cast<float>(value) / 255.0F;
    }
  }

  const LetterboxSpec& spec() const noexcept { return spec_; }

  // Writes 3 planes R, G, B of height x width floats in 0..1.
  Result<Placement> to_tensor(const ImageView& image, float* planes) {
    const auto line = [&](std::size_t channel, int row, int x) {
      return planes + (channel * size_of(spec_.height) + size_of(row)) * size_of(spec_.width) + x;
    };
    const auto pad = [&](int row, int from, int to) {
      for (std::size_t channel = 0; channel < 3; ++channel) {
        std::fill(line(channel, row, from), line(channel, row, to), unit_[spec_.pad_value]);
      }
    };
    const auto write = [&](int row, int left, int count, const Pixels& pixels) {
      for (std::size_t channel = 0; channel < 3; ++channel) {
        const std::uint8_t* samples = pixels.channel(channel);
        float* out = line(channel, row, left);
        for (int x = 0; x < count; ++x) out[x] = unit_[samples[3 * x]];
      }
    };
    return fit(image, pad, write);
  }

  // Writes height x width RGB bytes: what to_tensor normalises.
  Result<Placement> to_pixels(const ImageView& image, std::uint8_t* rgb) {
    const auto line = [&](int row, int x) {
      return rgb + 3 * (size_of(row) * size_of(spec_.width) + size_of(x));
    };
    const auto pad = [&](int row, int from, int to) {
      std::fill(line(row, from), line(row, to), spec_.pad_value);
    };
    const auto write = [&](int row, int left, int count, const Pixels& pixels) {
      std::uint8_t* out = line(row, left);
      for (std::size_t channel = 0; channel < 3; ++channel) {
        const std::uint8_t* samples = pixels.channel(channel);
        for (int x = 0; x < count; ++x) out[3 * x + static_cast<int>(channel)] = samples[3 * x];
      }
    };
    return fit(image, pad, write);
  }

 private:
  // A row of scaled pixels, in RGB or BGR order.
  struct Pixels {
    const std::uint8_t* data;
    bool bgr;
    const std::uint8_t* channel(std::size_t index) const noexcept {
      return data + (bgr ? 2 - index : index);
    }
  };

  struct Column {
    std::size_t offset;  // bytes from the start of a source row to the left pixel
    std::int16_t weight_left, weight_right;
  };

  // Source rows that had to be converted, each with the number of the row it holds.
  struct ConvertedRow {
    int number = -1;
    std::vector<std::uint8_t> rgb;
  };

  static std::size_t size_of(int value) noexcept { return static_cast<std::size_t>(value); }

  template <typename Pad, typename Write>
  Result<Placement> fit(const ImageView& given, const Pad& pad, const Write& write) {
    const Result<ImageView> image = checked(given);
    if (!image) return image.status();
    prepare(*image);
    const int left = placement_.left, right = left + placement_.scaled_width;
    const int top = placement_.top, bottom = top + placement_.scaled_height;
    for (int row = 0; row < top; ++row) pad(row, 0, spec_.width);
    for (ConvertedRow& row : converted_) row.number = -1;
    const bool bgr = image->format == PixelFormat::bgr || image->format == PixelFormat::bgra;
    const Pixels pixels{scaled_row_.data(), direct_ && bgr};
    for (int row = top; row < bottom; ++row) {
      const detail::Tap& taps = rows_[size_of(row - top)];
      step_ == 4 ? scale_row<4>(*image, taps) : scale_row<3>(*image, taps);
      pad(row, 0, left);
      write(row, left, placement_.scaled_width, pixels);
      pad(row, right, spec_.width);
    }
    for (int row = bottom; row < spec_.height; ++row) pad(row, 0, spec_.width);
    return placement_;
  }

  void prepare(const ImageView& image) {
    if (image.width == placement_.width && image.height == placement_.height &&
        image.format == format_) {
      return;
    }
    format_ = image.format;
    placement_ = place(spec_, image.width, image.height);
    rows_ = detail::linear_taps(image.height, placement_.scaled_height, detail::Edge::keep);
    auto taps = detail::linear_taps(image.width, placement_.scaled_width, detail::Edge::collapse);
    direct_ = image.width > 1 && bytes_per_pixel(image.format) >= 3;
    step_ = direct_ ? bytes_per_pixel(image.format) : 3;
    scaled_row_.resize(3 * taps.size() + 1);
    columns_.clear();
    needed_.clear();
    for (detail::Tap& tap : taps) {
      // Two neighbours are read, also at the right edge, where only one has a weight.
      if (tap.first == tap.second && tap.first > 0) {
        --tap.first;
        std::swap(tap.weight_first, tap.weight_second);
      }
      const int next = std::min(tap.first + 1, image.width - 1);
      if (needed_.empty() || needed_.back() < tap.first) needed_.push_back(tap.first);
      if (needed_.size() < 2 || needed_.back() < next) needed_.push_back(next);
      const std::size_t left = direct_ ? size_of(tap.first) : needed_.size() - 2;
      columns_.push_back({size_of(step_) * left, tap.weight_first, tap.weight_second});
    }
    row_bytes_ = size_of(step_) * (direct_ ? size_of(image.width) : needed_.size());
    // Eight bytes are loaded for six: columns near the end of the row take the narrow way.
    const auto inside = [&](const Column& column) { return column.offset + 8 <= row_bytes_; };
    wide_ = static_cast<std::size_t>(
        std::partition_point(columns_.begin(), columns_.end(), inside) - columns_.begin());
  }

  template <int kStep>
  void scale_row(const ImageView& image, const detail::Tap& rows) {
    const std::uint8_t* top = source_row(image, rows.first, rows.second);
    const std::uint8_t* bottom = source_row(image, rows.second, rows.first);
    std::uint8_t* out = scaled_row_.data();
    const auto weights_of = [&rows](const Column& column) {
      return detail::BlendWeights{column.weight_left, column.weight_right, rows.weight_first,
                                  rows.weight_second};
    };
    for (std::size_t x = 0; x < columns_.size(); ++x, out += 3) {
      const Column& column = columns_[x];
      const std::uint8_t *above = top + column.offset, *below = bottom + column.offset;
      if (x < wide_) {
        detail::blend_pixel_wide<kStep>(above, below, weights_of(column), out);
      } else {
        detail::blend_pixel<kStep>(above, below, weights_of(column), out);
      }
    }
  }

  // Row `number`, converted where that is needed; `other` is the row that has to stay available.
  const std::uint8_t* source_row(const ImageView& image, int number, int other) {
    const std::uint8_t* source = image.data + image.stride * number;
    if (direct_) return source;
    for (const ConvertedRow& row : converted_) {
      if (row.number == number) return row.rgb.data();
    }
    ConvertedRow& row = converted_[0].number == other ? converted_[1] : converted_[0];
    row.number = number;
    row.rgb.resize(row_bytes_);
    const std::uint8_t* chroma = image.format == PixelFormat::nv12
                                     ? image.chroma + image.chroma_stride * (number / 2)
                                     : nullptr;
    detail::read_pixels(source, chroma, image.format, needed_, row.rgb.data());
    return row.rgb.data();
  }

  LetterboxSpec spec_;
  std::array<float, 256> unit_{};

  Placement placement_;
  PixelFormat format_ = PixelFormat::rgb;
  bool direct_ = true;  // source rows are read where they lie, not converted to RGB first
  int step_ = 3;        // bytes a pixel of the rows that are read
  std::vector<detail::Tap> rows_;
  std::vector<Column> columns_;
  std::size_t wide_ = 0;
  std::vector<int> needed_;  // columns to convert, where rows have to be converted
  std::size_t row_bytes_ = 0;
  std::array<ConvertedRow, 2> converted_;
  std::vector<std::uint8_t> scaled_row_;
};

}  // namespace yolov12edge
