//! Reading and writing quantities: durations, rates, byte counts, counts.

use std::time::Duration;

/// Parses `10s`, `500ms`, `200us`, `2m`, `1h`; a bare number is seconds.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = split_unit(text);
    let scale = match unit {
        "ns" => 1e-9,
        "us" | "µs" => 1e-6,
        "ms" => 1e-3,
        "" | "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        _ => return Err(format!("unknown unit `{unit}`; write for example 500ms, 10s, 2m")),
    };
    let value = parse_number(number)? * scale;
    Duration::try_from_secs_f64(value).map_err(|_| format!("`{text}` is not a duration; write for example 10s"))
}

/// Parses a count or a rate: `200`, `2k`, `1.5M`, and `1,000,000`.
pub fn parse_scaled(text: &str) -> Result<f64, String> {
    let plain = text.replace([',', '_'], "");
    let (number, unit) = split_unit(&plain);
    let scale = match unit {
        "" => 1.0,
        "k" | "K" => 1e3,
        "m" | "M" => 1e6,
        "g" | "G" => 1e9,
        _ => return Err(format!("unknown suffix `{unit}`; write for example 200, 2k or 1.5M")),
    };
    let value = parse_number(number)? * scale;
    if value.is_finite() && value >= 0.0 { Ok(value) } else { Err(format!("`{text}` is out of range")) }
}

/// Parses a whole count, with the suffixes of [`parse_scaled`].
pub fn parse_count(text: &str) -> Result<u32, String> {
    let value = parse_scaled(text)?;
    if value.fract() != 0.0 || value > f64::from(u32::MAX) {
        return Err(format!("`{text}` is not a whole number below 4.3 billion"));
    }
    Ok(value as u32)
}

/// Parses a byte count in powers of two: `4096`, `64K`, `4M`.
pub fn parse_bytes(text: &str) -> Result<usize, String> {
    let (number, unit) = split_unit(text);
    let scale: u32 = match unit {
        "" | "B" => 0,
        "k" | "K" | "KiB" => 10,
        "m" | "M" | "MiB" => 20,
        _ => return Err(format!("unknown suffix `{unit}`; write for example 256K or 4M")),
    };
    let value = parse_number(number)? * f64::from(1u32 << scale);
    if value <= f64::from(1u32 << 31) { Ok(value as usize) } else { Err(format!("`{text}` is above 2 GiB")) }
}

fn split_unit(text: &str) -> (&str, &str) {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    (&text[..end], text[end..].trim())
}

fn parse_number(text: &str) -> Result<f64, String> {
    text.parse().map_err(|_| format!("`{text}` is not a number"))
}

/// `950 ns`, `105 us`, `1.23 ms`, `2.50 s`: three significant digits.
pub fn show_ns(ns: f64) -> String {
    let (value, unit) = match ns.abs() {
        size if size < 1e3 => (ns, "ns"),
        size if size < 1e6 => (ns / 1e3, "us"),
        size if size < 1e9 => (ns / 1e6, "ms"),
        _ => (ns / 1e9, "s"),
    };
    format!("{} {unit}", show_digits(value))
}

/// `950`, `12.3k`, `4.56M`: three significant digits.
pub fn show_scaled(value: f64) -> String {
    match value.abs() {
        size if size < 1e3 => show_digits(value),
        size if size < 1e6 => format!("{}k", show_digits(value / 1e3)),
        size if size < 1e9 => format!("{}M", show_digits(value / 1e6)),
        _ => format!("{}G", show_digits(value / 1e9)),
    }
}

/// `640 B`, `12.3 KiB`, `4.56 MiB`.
pub fn show_bytes(bytes: f64) -> String {
    match bytes.abs() {
        size if size < 1024.0 => format!("{bytes:.0} B"),
        size if size < 1048576.0 => format!("{} KiB", show_digits(bytes / 1024.0)),
        size if size < 1073741824.0 => format!("{} MiB", show_digits(bytes / 1048576.0)),
        _ => format!("{} GiB", show_digits(bytes / 1073741824.0)),
    }
}

/// `1,234,567`.
pub fn show_count(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn show_digits(value: f64) -> String {
    match value.abs() {
        size if size >= 99.95 || value == 0.0 => format!("{value:.0}"),
        size if size >= 9.995 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_rates_read_as_people_write_them() {
        assert_eq!(parse_duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse_duration("2"), Ok(Duration::from_secs(2)));
        assert_eq!(parse_duration("1.5m"), Ok(Duration::from_secs(90)));
        assert!(parse_duration("10 parsecs").is_err());
        assert!(parse_duration("").is_err());
        assert_eq!(parse_scaled("2k"), Ok(2000.0));
        assert_eq!(parse_count("1,000,000"), Ok(1_000_000));
        assert!(parse_count("1.5").is_err());
        assert_eq!(parse_bytes("4M"), Ok(4 << 20));
    }

    #[test]
    fn quantities_print_with_three_digits() {
        assert_eq!(show_ns(105_300.0), "105 us");
        assert_eq!(show_ns(1_234_000.0), "1.23 ms");
        assert_eq!(show_scaled(12_345.0), "12.3k");
        assert_eq!(show_count(1_234_567), "1,234,567");
        assert_eq!(show_bytes(2048.0), "2.00 KiB");
    }
}
