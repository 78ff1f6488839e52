use modelkeep_core::Limits;

const MIB: u64 = 1 << 20;

/// A registry that AWS runs, and takes AWS credentials for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum EcrHost {
    /// ECR Public: one for all the world. Its tokens come from `us-east-1`.
    Public,
    /// The private registry of an account in a region.
    Private {
        region: String,
        fips: bool,
        dual_stack: bool,
    },
}

impl EcrHost {
    /// What `host` is, by its name alone (Amazon ECR User Guide, "Private registries", "Making requests over IPv6").
    pub(crate) fn of(host: &str) -> Option<Self> {
        if matches!(host, "public.ecr.aws" | "ecr-public.aws.com") {
            return Some(Self::Public);
        }
        let (account, rest) = host.split_at_checked(12)?;
        if !account.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let (service, rest) = rest.strip_prefix(".dkr")?.split_at_checked(1)?;
        let dual_stack = service == "-";
        let (ecr, rest) = rest.split_once('.')?;
        let (region, domain) = rest.split_once('.')?;
        let known = if dual_stack {
            matches!(domain, "on.aws" | "on.amazonwebservices.com.cn")
        } else {
            service == "."
                && matches!(
                    domain,
                    "amazonaws.com"
                        | "amazonaws.com.cn"
                        | "amazonaws.eu"
                        | "c2s.ic.gov"
                        | "sc2s.sgov.gov"
                        | "cloud.adc-e.uk"
                        | "csp.hci.ic.gov"
                )
        };
        let is_region = !region.is_empty() && region.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        (known && is_region && matches!(ecr, "ecr" | "ecr-fips")).then(|| Self::Private {
            region: region.to_owned(),
            fips: ecr == "ecr-fips",
            dual_stack,
        })
    }

    /// The service quotas of ECR and ECR Public.
    pub(crate) fn limits(&self) -> Limits {
        Limits {
            layer_bytes: match self {
                Self::Public => 10_000 * MIB,
                Self::Private { .. } => 52_000 * MIB,
            },
            ..Limits::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn private(region: &str, fips: bool, dual_stack: bool) -> Option<EcrHost> {
        Some(EcrHost::Private {
            region: region.to_owned(),
            fips,
            dual_stack,
        })
    }

    #[test]
    fn registries_of_aws_are_known_by_their_names() {
        assert_eq!(EcrHost::of("public.ecr.aws"), Some(EcrHost::Public));
        assert_eq!(EcrHost::of("ecr-public.aws.com"), Some(EcrHost::Public));
        for (host, expected) in [
            (
                "123456789012.dkr.ecr.eu-west-1.amazonaws.com",
                private("eu-west-1", false, false),
            ),
            (
                "123456789012.dkr.ecr-fips.us-gov-west-1.amazonaws.com",
                private("us-gov-west-1", true, false),
            ),
            (
                "123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn",
                private("cn-north-1", false, false),
            ),
            (
                "123456789012.dkr-ecr.eu-west-1.on.aws",
                private("eu-west-1", false, true),
            ),
            (
                "123456789012.dkr-ecr-fips.us-east-1.on.aws",
                private("us-east-1", true, true),
            ),
            (
                "123456789012.dkr-ecr.cn-north-1.on.amazonwebservices.com.cn",
                private("cn-north-1", false, true),
            ),
        ] {
            assert_eq!(EcrHost::of(host), expected, "{host}");
        }
    }

    #[test]
    fn no_other_host_is_taken_for_a_registry_of_aws() {
        for host in [
            "ghcr.io",
            "public.ecr.aws.example.com",
            "evil-public.ecr.aws",
            "public.ecr.aws:444",
            "12345678901.dkr.ecr.eu-west-1.amazonaws.com",
            "12345678901x.dkr.ecr.eu-west-1.amazonaws.com",
            "123456789012.dkr.ecr.eu-west-1.amazonaws.com.example.com",
            "123456789012.dkr.ecr.eu-west-1.on.aws",
            "123456789012.dkr-ecr.eu-west-1.amazonaws.com",
            "123456789012.dkr.ecr..amazonaws.com",
            "123456789012.dkr.ecr.evil.com",
            "123456789012.dkrxecr.eu-west-1.amazonaws.com",
            "12345678901é.dkr.ecr.eu-west-1.amazonaws.com",
            "",
        ] {
            assert_eq!(EcrHost::of(host), None, "{host}");
        }
    }
}
