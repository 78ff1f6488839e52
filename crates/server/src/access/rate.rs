//! A bucket of requests per client address.

use super::config::RateConfig;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// Addresses remembered at once; beyond it, those whose bucket is full again are forgotten.
const MOST: usize = 64 * 1024;

pub(crate) struct Rate {
    per_second: f64,
    burst: f64,
    buckets: Mutex<HashMap<IpAddr, Bucket>>,
}

#[derive(Clone, Copy)]
struct Bucket {
    tokens: f64,
    at: Instant,
}

impl Rate {
    pub(crate) fn new(config: RateConfig) -> Self {
        let per_second = f64::from(config.per_second.max(1));
        Self {
            per_second,
            burst: f64::from(config.burst.max(1)),
            buckets: Mutex::default(),
        }
    }

    /// Takes one request from the bucket of `address`, or says after how many seconds to come back.
    pub(crate) fn take(&self, address: IpAddr, now: Instant) -> Result<(), u64> {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= MOST {
            buckets.retain(|_, bucket| self.level(bucket, now) < self.burst);
            if buckets.len() >= MOST {
                // So many that are short of requests: a flood from everywhere, and no room to tell them apart.
                buckets.clear();
            }
        }
        let bucket = buckets.entry(client(address)).or_insert(Bucket {
            tokens: self.burst,
            at: now,
        });
        let tokens = self.level(bucket, now);
        let taken = if tokens >= 1.0 { 1.0 } else { 0.0 };
        *bucket = Bucket {
            tokens: tokens - taken,
            at: now,
        };
        if taken > 0.0 {
            return Ok(());
        }
        Err((((1.0 - tokens) / self.per_second).ceil() as u64).max(1))
    }

    fn level(&self, bucket: &Bucket, now: Instant) -> f64 {
        let passed = now.saturating_duration_since(bucket.at).as_secs_f64();
        (bucket.tokens + passed * self.per_second).min(self.burst)
    }
}

/// One client: an IPv4 address, or an IPv6 network of 64 bits, all of which one host can use.
fn client(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from(u128::from(address) >> 64 << 64).into(),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_client_that_used_up_its_requests_waits_while_others_go_on() {
        let rate = Rate::new(RateConfig {
            per_second: 2,
            burst: 3,
        });
        let now = Instant::now();
        let (one, other) = ("10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap());
        for _ in 0..3 {
            assert_eq!(rate.take(one, now), Ok(()));
        }
        assert_eq!(rate.take(one, now), Err(1));
        assert_eq!(rate.take(other, now), Ok(()));
        let later = now + Duration::from_millis(500);
        assert_eq!(rate.take(one, later), Ok(()));
        assert_eq!(rate.take(one, later), Err(1));
    }

    #[test]
    fn addresses_of_one_ipv6_network_are_one_client() {
        let rate = Rate::new(RateConfig {
            per_second: 1,
            burst: 1,
        });
        let now = Instant::now();
        assert_eq!(rate.take("2001:db8::1".parse().unwrap(), now), Ok(()));
        assert_eq!(rate.take("2001:db8::2".parse().unwrap(), now), Err(1));
        assert_eq!(rate.take("2001:db8:0:1::1".parse().unwrap(), now), Ok(()));
    }
}
