use std::{fmt, net::IpAddr, path::PathBuf, sync::Arc, time::Duration};

use aws_smithy_runtime_api::{
    client::{
        http::{HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector},
        orchestrator::{HttpRequest, HttpResponse},
        result::ConnectorError,
        runtime_components::RuntimeComponents,
    },
    http::StatusCode,
};
use aws_smithy_types::body::SdkBody;

use crate::{
    Error, Timeouts,
    http::{Http, Proxies, Reach, Request, Url},
};

/// Longest answer of an API of AWS: a page of a thousand repositories is far below it.
const ANSWER: u64 = 16 << 20;
/// Services answer in seconds; the SDK tries again when they do not.
const SERVICE: Timeouts = Timeouts {
    connect: Duration::from_secs(10),
    first_byte: Duration::from_secs(30),
    progress: Duration::from_secs(30),
};
/// Instance metadata lies next door, or there is none: nobody should wait for it where there is none.
const METADATA: Timeouts = Timeouts {
    connect: Duration::from_secs(1),
    first_byte: Duration::from_secs(2),
    progress: Duration::from_secs(2),
};

/// Our HTTP as the AWS SDK wants it: one place decides whom to trust and which proxy to take, for registries and for
/// AWS. It blocks, in the thread that waits for the SDK's answer.
#[derive(Clone)]
pub(crate) struct Transport {
    services: Arc<Http>,
    /// Without proxies, which would ask for the credentials of their own machine.
    metadata: Arc<Http>,
}

impl Transport {
    /// `ca` and `AWS_CA_BUNDLE` name authorities besides those of the machine; the first is taken.
    pub(crate) fn new(ca: Option<PathBuf>, variable: &dyn Fn(&str) -> Option<String>) -> Result<Self, Error> {
        let bundle = variable("AWS_CA_BUNDLE")
            .filter(|path| !path.is_empty())
            .map(PathBuf::from);
        let ca = ca.or(bundle);
        Ok(Self {
            services: Arc::new(Http::new(ca, Proxies::read(variable)?, SERVICE)),
            metadata: Arc::new(Http::new(None, Proxies::default(), METADATA)),
        })
    }

    fn send(&self, request: &HttpRequest) -> Result<HttpResponse, ConnectorError> {
        let url = Url::parse(request.uri()).map_err(failed)?;
        let headers = request.headers().iter();
        let request = Request {
            method: method(request.method())?,
            headers: headers
                // Our own head has these, and no signature covers what it says otherwise.
                .filter(|(name, _)| {
                    !["host", "user-agent", "content-length", "connection"]
                        .iter()
                        .any(|ours| name.eq_ignore_ascii_case(ours))
                })
                .map(|(name, value)| (name, value.to_owned()))
                .collect(),
            body: request.body().bytes().unwrap_or_default(),
            reach: Reach::Anywhere,
            url: &url,
        };
        let http = if is_metadata(&url) {
            &self.metadata
        } else {
            &self.services
        };
        let response = http.send(&request).map_err(failed)?;
        let status = StatusCode::try_from(response.head.status)
            .map_err(|error| ConnectorError::other(error.into(), None))?;
        let headers: Vec<(String, String)> = response
            .head
            .iter()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        let body = response.small_body(ANSWER).map_err(failed)?;
        let mut answer = HttpResponse::new(status, SdkBody::from(body));
        for (name, value) in headers {
            // A header that the SDK cannot hold is none that it looks for.
            let _ = answer.headers_mut().try_append(name, value);
        }
        Ok(answer)
    }
}

/// Whether `url` is one of the addresses at which machines and containers of AWS find their role.
fn is_metadata(url: &Url) -> bool {
    match url.origin.host.parse() {
        Ok(IpAddr::V4(v4)) => v4.is_link_local(),
        Ok(IpAddr::V6(v6)) => v6.segments()[..2] == [0xfd00, 0x0ec2],
        Err(_) => false,
    }
}

fn method(name: &str) -> Result<&'static str, ConnectorError> {
    ["GET", "POST", "PUT", "DELETE", "HEAD"]
        .into_iter()
        .find(|known| *known == name)
        .ok_or_else(|| ConnectorError::user(format!("the method {name} is not spoken").into()))
}

/// The SDK tries again what it takes for an I/O error.
fn failed(error: Error) -> ConnectorError {
    if error.is_transient() {
        ConnectorError::io(error.into())
    } else {
        ConnectorError::other(error.into(), None)
    }
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Transport")
    }
}

impl HttpConnector for Transport {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let transport = self.clone();
        HttpConnectorFuture::new(async move { transport.send(&request) })
    }
}

impl HttpClient for Transport {
    fn http_connector(
        &self,
        _settings: &HttpConnectorSettings,
        _components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_metadata_of_machines_and_containers_is_known() {
        let metadata = |url: &str| is_metadata(&Url::parse(url).unwrap());
        for url in [
            "http://169.254.169.254/latest/api/token",
            "http://169.254.170.2/v2/credentials",
            "http://[fd00:ec2::254]/latest",
        ] {
            assert!(metadata(url), "{url}");
        }
        for url in [
            "https://api.ecr.eu-west-1.amazonaws.com/",
            "http://127.0.0.1:99/",
            "http://10.0.0.1/",
        ] {
            assert!(!metadata(url), "{url}");
        }
    }
}
