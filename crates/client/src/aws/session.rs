use std::{env, future::Future, path::PathBuf};

use aws_config::{AppName, BehaviorVersion, Region, SdkConfig};
use tokio::runtime::{Builder, Runtime};

use super::{Error, transport::Transport};

/// The one region whose API of ECR Public answers.
pub(super) const PUBLIC_REGION: &str = "us-east-1";

/// The variables that say where the services are that we ask.
const ENDPOINTS: [&str; 6] = [
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_ECR",
    "AWS_ENDPOINT_URL_ECR_PUBLIC",
    "AWS_ENDPOINT_URL_SSO",
    "AWS_ENDPOINT_URL_SSO_OIDC",
    "AWS_ENDPOINT_URL_STS",
];

/// How AWS is reached. What is not said here is found where the AWS tools find it: in the environment, in the profile,
/// on the machine.
#[derive(Clone, Debug, Default)]
pub struct AwsOptions {
    /// The address of the API, instead of AWS's own.
    pub endpoint_url: Option<String>,
    /// The region. ECR Public has one, whatever is said here.
    pub region: Option<String>,
    /// The profile of `~/.aws/config`, instead of `AWS_PROFILE`.
    pub profile: Option<String>,
    /// A file of authorities that are trusted besides those of the machine.
    pub ca: Option<PathBuf>,
}

/// The SDK, set up, and the thread that its futures run on: the one that waits for them.
#[derive(Debug)]
pub(super) struct Session {
    runtime: Runtime,
    pub(super) config: SdkConfig,
}

impl Session {
    /// Reads the settings. Nothing is sent, unless nobody says the region: then the metadata of the machine is asked.
    pub(super) fn open(options: &AwsOptions, transport: Transport) -> Result<Self, Error> {
        for name in ENDPOINTS {
            // The SDK would end the process.
            if env::var(name).is_ok_and(|url| url.is_empty()) {
                return Err(Error::Setup {
                    reason: format!("{name} is set and empty; unset it"),
                });
            }
        }
        // Timers for the SDK's waits, I/O for programs that give credentials.
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| Error::Setup {
            reason: error.to_string(),
        })?;
        let mut loader = aws_config::defaults(BehaviorVersion::latest()).http_client(transport);
        if let Ok(name) = AppName::new("modelkeep") {
            loader = loader.app_name(name);
        }
        if let Some(url) = &options.endpoint_url {
            loader = loader.endpoint_url(url);
        }
        if let Some(region) = &options.region {
            loader = loader.region(Region::new(region.clone()));
        }
        if let Some(profile) = &options.profile {
            loader = loader.profile_name(profile);
        }
        let config = runtime.block_on(loader.load());
        Ok(Self { runtime, config })
    }

    /// Whether somebody else than AWS answers for the service of this variable.
    pub(super) fn has_endpoint(&self, variable: &str) -> bool {
        self.config.endpoint_url().is_some() || env::var_os(variable).is_some()
    }

    /// Waits for `future`, in this thread.
    pub(super) fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }
}
