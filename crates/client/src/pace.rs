use std::{
    sync::{Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

/// ECR and ECR Public take ten uploads begun, ten finished and ten manifests a second ("Amazon ECR service quotas");
/// with one pace for all three, none of them is passed.
const ECR: Duration = Duration::from_millis(100);

/// Keeps requests that change something apart, where the registry counts them.
#[derive(Debug)]
pub(crate) struct Pace {
    gap: Duration,
    next: Mutex<Option<Instant>>,
}

impl Pace {
    pub(crate) fn of(host: &str) -> Self {
        let is_ecr = matches!(host, "public.ecr.aws" | "ecr-public.aws.com")
            || (host.contains(".dkr.ecr") && host.contains(".amazonaws.com"));
        Self {
            gap: if is_ecr { ECR } else { Duration::ZERO },
            next: Mutex::default(),
        }
    }

    /// Waits for the turn of one request.
    pub(crate) fn wait(&self) {
        if self.gap > Duration::ZERO {
            thread::sleep(self.turn(Instant::now()));
        }
    }

    /// How long it is from `now` to the next turn, which is taken.
    fn turn(&self, now: Instant) -> Duration {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let turn = next.map_or(now, |next| next.max(now));
        *next = Some(turn + self.gap);
        turn - now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ecr_is_asked_ten_times_a_second_at_most() {
        for host in [
            "public.ecr.aws",
            "1.dkr.ecr.eu-west-1.amazonaws.com",
            "1.dkr.ecr-fips.us-east-1.amazonaws.com",
        ] {
            let pace = Pace::of(host);
            let now = Instant::now();
            let waits: Vec<Duration> = (0..11).map(|_| pace.turn(now)).collect();
            assert_eq!(waits[0], Duration::ZERO);
            assert_eq!(waits[10], Duration::from_secs(1));
            assert_eq!(pace.turn(now + Duration::from_secs(9)), Duration::ZERO);
        }
        assert_eq!(Pace::of("ghcr.io").gap, Duration::ZERO);
    }
}
