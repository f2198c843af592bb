//! MAC addresses, and the names that Calico gives its ends of workloads' interfaces.

use super::key::{Key, Role, hex};

/// The address of Calico's end of each workload's interface.
const CALICO: [u8; 6] = [0xee; 6];

/// The first octet of a VTEP's address: Calico takes the other five from a hash of the node's name.
const VTEP: u8 = 0x66;

/// The pseudonym of a MAC. Stays: Calico's own, the empty, broadcast, multicast. Of others the kind stays:
/// whether it is locally administered, and whether it is a VTEP's.
pub(super) fn mac(key: &Key, address: [u8; 6]) -> [u8; 6] {
    let first = address[0];
    if address == CALICO || address == [0; 6] || first & 1 == 1 {
        return address;
    }
    let random = key.prf(Role::Mac, &address);
    let mut pseudonym = [random[0], random[1], random[2], random[3], random[4], random[5]];
    pseudonym[0] = if first == VTEP { VTEP } else { random[0] & !3 | first & 3 };
    pseudonym
}

/// The pseudonym of the hash in an interface's name, eleven hexadecimal digits. It is a hash of the workload's
/// namespace and name: whoever guesses those could prove his guess.
pub(super) fn interface(key: &Key, hash: [u8; 11]) -> [u8; 11] {
    let mut digits = [b'0'; 11];
    let random = hex(&key.prf(Role::Interface, &hash)[..6]);
    digits.copy_from_slice(&random.as_bytes()[..11]);
    digits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_every_node_has_stays_and_the_kind_of_others() {
        let key = Key::new(&[5; 32]);
        for same in [CALICO, [0; 6], [0xff; 6], [0x01, 0, 0x5e, 0, 0, 5], [0x33, 0x33, 0, 0, 0, 1]]
        {
            assert_eq!(mac(&key, same), same);
        }
        for first in [0x52, 0x50, 0x66, 0x00, 0x02] {
            let original = [first, 0x54, 0, 1, 2, 3];
            let pseudonym = mac(&key, original);
            assert_ne!(pseudonym[1..], original[1..]);
            assert_eq!(pseudonym[0] & 3, first & 3);
        }
        assert_eq!(mac(&key, [VTEP, 1, 2, 3, 4, 5])[0], VTEP);
    }
}
