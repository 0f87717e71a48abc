//! The deny list, by table.

use super::super::policy::Subnet;
use crate::net::kind::{Kind, kind};

#[test]
fn every_form_of_a_special_address_is_known() {
    let table: &[(Kind, &[&str])] = &[
        (
            Kind::Never,
            &[
                "0.0.0.0",
                "0.1.2.3",
                "224.0.0.1",
                "239.255.255.250",
                "240.0.0.1",
                "255.255.255.255",
                "192.88.99.1",
                "::",
                "ff02::1",
                "ff0e::1",
                // IPv4 in IPv6's clothes: mapped, compatible, translated, 6to4, Teredo.
                "::ffff:127.0.0.1",
                "::ffff:10.0.0.1",
                "::ffff:8.8.8.8",
                "::ffff:0:10.0.0.1",
                "::127.0.0.1",
                "::10.0.0.1",
                "2002:7f00:1::1",
                "2002:a00:1::",
                "2002:808:808::1",
                "2001:0:7f00:1::1",
                "2001:20::1",
                "100::1",
                // NAT64 to what is not public, and prefixes that are not the well-known one.
                "64:ff9b::127.0.0.1",
                "64:ff9b::10.0.0.1",
                "64:ff9b::169.254.169.254",
                "64:ff9b::0.0.0.0",
                "64:ff9b:0:1::10.0.0.1",
                // ISATAP.
                "2001:db8::5efe:10.0.0.1",
                "2001:db8::200:5efe:127.0.0.1",
            ],
        ),
        (Kind::Local, &["127.0.0.1", "127.255.255.254", "169.254.169.254", "::1", "fe80::1", "febf::1"]),
        (
            Kind::Private,
            &[
                "10.0.0.1",
                "10.255.255.255",
                "172.16.0.1",
                "172.31.255.255",
                "192.168.0.1",
                "100.64.0.1",
                "100.127.255.255",
                "192.0.0.1",
                "198.18.0.1",
                "198.19.255.255",
                "fc00::1",
                "fd12::1",
                "fec0::1",
                "64:ff9b:1::10.0.0.1",
            ],
        ),
        (
            Kind::Public,
            &[
                "8.8.8.8",
                "172.15.255.255",
                "172.32.0.1",
                "100.63.255.255",
                "100.128.0.1",
                "198.51.100.1",
                "192.169.0.1",
                "223.255.255.255",
                "2606:4700::1111",
                "2001:db8::1",
                "2001:4860:4860::8888",
                "64:ff9b::8.8.8.8",
                "2003::1",
            ],
        ),
    ];
    for (expected, addresses) in table {
        for address in *addresses {
            assert_eq!(kind(address.parse().unwrap()), *expected, "{address}");
        }
    }
}

#[test]
fn a_subnet_holds_its_addresses_and_no_others() {
    let table = [
        ("10.0.0.0/8", "10.255.0.1", true),
        ("10.0.0.0/8", "11.0.0.1", false),
        ("0.0.0.0/0", "192.168.1.1", true),
        ("0.0.0.0/0", "fd00::1", false),
        ("192.168.1.7", "192.168.1.7", true),
        ("192.168.1.7/32", "192.168.1.6", false),
        ("192.168.1.7/24", "192.168.1.200", true),
        ("fd00::/8", "fdff::1", true),
        ("fd00::/8", "fe00::1", false),
        ("::/0", "fd00::1", true),
        ("fd00::1/128", "fd00::2", false),
    ];
    for (subnet, address, expected) in table {
        let found = Subnet::parse(subnet).unwrap().contains(address.parse().unwrap());
        assert_eq!(found, expected, "{address} in {subnet}");
    }
    for wrong in ["", "10.0.0.0/33", "::/129", "10.0.0/8", "10.0.0.0/", "10.0.0.0/x", "host/8"] {
        assert!(Subnet::parse(wrong).unwrap_err().contains("subnet"), "{wrong}");
    }
}
