//! Addresses among the data of rules and sets, as addresses: so they are read, and so a bundle with pseudonyms has
//! pseudonyms for them.

use std::collections::HashMap;
use std::net::{Ipv4Addr, Ipv6Addr};

use serde_json::Value;

/// `TYPE_IPADDR` and `TYPE_IP6ADDR` of nft (`include/datatype.h`), which tells the kernel and nobody else.
const KEY_TYPES: [(u32, usize); 2] = [(7, 4), (8, 16)];

/// Where source and destination stand in the headers of IPv4 and IPv6, and how long they are.
const PLACES: [(u64, usize); 4] = [(12, 4), (16, 4), (8, 16), (24, 16)];

/// Writes the address that a payload is compared with, or that a packet is sent to, as one. Of a network of whole bytes
/// only these are compared: what is missing is zero.
pub(super) fn in_rule(expressions: &mut [Value]) {
    let mut lengths: HashMap<u64, usize> = HashMap::new();
    for index in 0..expressions.len() {
        let expression = &expressions[index];
        let number = |key: &str| expression[key].as_u64();
        match expression["expression"].as_str() {
            Some("payload") => {
                let Some(register) = number("destination") else { continue };
                lengths.remove(&register);
                let (Some("network"), Some(offset), Some(bytes)) =
                    (expression["base"].as_str(), number("offset"), number("bytes"))
                else {
                    continue;
                };
                let place = PLACES.iter().find(|(place, length)| {
                    // One byte at 8 is the time to live, the protocol and the like.
                    offset == *place
                        && (1..=*length as u64).contains(&bytes)
                        && (bytes > 1 || *length == 4)
                });
                if let Some((_, length)) = place {
                    lengths.insert(register, *length);
                }
            }
            Some("bitwise") => {
                let length = number("source").and_then(|source| lengths.get(&source).copied());
                if let (Some(register), Some(length)) = (number("destination"), length) {
                    lengths.insert(register, length);
                }
            }
            Some("cmp" | "range") => {
                let length = number("source").and_then(|source| lengths.get(&source).copied());
                if let Some(length) = length {
                    for key in ["data", "from", "to"] {
                        rewrite(&mut expressions[index], key, length);
                    }
                }
            }
            Some("nat") => {
                let register = number("address_min");
                let target = expressions[..index].iter_mut().rev().find(|expression| {
                    expression["expression"] == "immediate"
                        && expression["destination"].as_u64() == register
                });
                if let Some(target) = target {
                    let digits = target["data"].as_str().map_or(0, str::len);
                    rewrite(target, "data", if digits > 10 { 16 } else { 4 });
                }
            }
            Some("meta" | "ct" | "immediate" | "lookup") => {
                if let Some(register) = number("destination") {
                    lengths.remove(&register);
                }
            }
            _ => {}
        }
    }
}

/// The key of an element of a set of addresses, as one.
pub(super) fn key(value: Value, key_type: u32) -> Value {
    match KEY_TYPES.iter().find(|(known, _)| *known == key_type) {
        Some((_, length)) => address(&value, *length).map_or(value, Value::from),
        None => value,
    }
}

fn rewrite(expression: &mut Value, key: &str, length: usize) {
    if let Some(written) = expression.get(key).and_then(|value| address(value, length)) {
        expression[key] = written.into();
    }
}

/// The address of so many bytes that digits after `0x` begin.
fn address(value: &Value, length: usize) -> Option<String> {
    let digits = value.as_str()?.strip_prefix("0x")?;
    let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    let mut bytes: Vec<u8> = digits.as_bytes().chunks(2).map(pair).collect::<Option<_>>()?;
    if bytes.len() > length {
        return None;
    }
    bytes.resize(length, 0);
    Some(match <[u8; 4]>::try_from(&bytes[..]) {
        Ok(bytes) => Ipv4Addr::from(bytes).to_string(),
        Err(_) => Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?).to_string(),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_compared_with_an_address_is_an_address() {
        let load = |offset: u64, bytes: u64| json!({"expression": "payload", "base": "network", "offset": offset, "bytes": bytes, "destination": 1});
        let cases = [
            (load(16, 4), "0x0a00000d", "10.0.0.13"),
            (load(12, 3), "0x0a0000", "10.0.0.0"),
            (load(24, 16), "0xfd000000000000000000000000000013", "fd00::13"),
            (load(8, 8), "0xfd00000000000001", "fd00:0:0:1::"),
            (load(9, 1), "0x06", "0x06"),
            (load(8, 1), "0x40", "0x40"),
            (
                json!({"expression": "meta", "key": "mark", "destination": 1}),
                "0x00010000",
                "0x00010000",
            ),
        ];
        for (load, data, written) in cases {
            let mut rule =
                [load, json!({"expression": "cmp", "source": 1, "op": "eq", "data": data})];
            in_rule(&mut rule);
            assert_eq!(rule[1]["data"], written);
        }
    }

    #[test]
    fn an_address_that_is_translated_to_is_an_address_and_a_port_is_not() {
        let mut rule = [
            json!({"expression": "immediate", "destination": 1, "data": "0x0a000002"}),
            json!({"expression": "immediate", "destination": 2, "data": "0x1f90"}),
            json!({"expression": "nat", "type": "dnat", "address_min": 1, "port_min": 2}),
        ];
        in_rule(&mut rule);
        assert_eq!((&rule[0]["data"], &rule[1]["data"]), (&json!("10.0.0.2"), &json!("0x1f90")));
    }

    #[test]
    fn elements_of_sets_of_addresses_are_addresses() {
        assert_eq!(key(json!("0x0a000001"), 7), "10.0.0.1");
        assert_eq!(key(json!("0x00b3"), 13), "0x00b3");
    }
}
