use std::{
    collections::HashMap,
    sync::{Arc, LazyLock, Mutex, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use modelkeep_core::Host;

use super::{
    AwsOptions, EcrHost, Error,
    session::{PUBLIC_REGION, Session},
    transport::Transport,
};
use crate::{Credential, Secret, auth::Lent};

/// A token is renewed this long before it ends.
const MARGIN: Duration = Duration::from_secs(300);
/// Tokens serve twelve hours; a clock that is wrong must not make that longer.
const LONGEST: Duration = Duration::from_secs(12 * 3600);

type Slot = Arc<Mutex<Option<Lent>>>;

/// What AWS lent to this process.
static KEPT: LazyLock<Mutex<HashMap<EcrHost, Slot>>> = LazyLock::new(Mutex::default);

/// User and password for a registry of AWS, from AWS credentials: asked for once, and again when its time is over.
pub(crate) fn password(host: &Host, ecr: &EcrHost, transport: &Transport) -> Result<Lent, crate::Error> {
    let slot = {
        let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(kept.entry(ecr.clone()).or_default())
    };
    // Held while AWS is asked: whoever needs the same one waits for it.
    let mut lent = slot.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(lent) = lent.as_ref().filter(|lent| lent.serves()) {
        return Ok(lent.clone());
    }
    let fresh = ask(ecr, transport.clone()).map_err(|source| crate::Error::Aws {
        host: host.to_string(),
        source,
    })?;
    *lent = Some(fresh.clone());
    Ok(fresh)
}

fn ask(ecr: &EcrHost, transport: Transport) -> Result<Lent, Error> {
    let region = match ecr {
        EcrHost::Public => PUBLIC_REGION,
        EcrHost::Private { region, .. } => region,
    };
    let options = AwsOptions {
        region: Some(region.to_owned()),
        ..AwsOptions::default()
    };
    let session = Session::open(&options, transport)?;
    let (action, token, expires) = match ecr {
        EcrHost::Public => {
            let action = "ecr-public:GetAuthorizationToken";
            let client = aws_sdk_ecrpublic::Client::new(&session.config);
            let answer = session.wait(client.get_authorization_token().send());
            let answer = answer.map_err(|error| Error::of(action, error))?;
            let data = answer.authorization_data;
            let token = data.as_ref().and_then(|data| data.authorization_token.clone());
            (action, token, data.and_then(|data| data.expires_at))
        }
        EcrHost::Private { fips, dual_stack, .. } => {
            let action = "ecr:GetAuthorizationToken";
            let mut config = aws_sdk_ecr::config::Builder::from(&session.config);
            // An address that somebody named is the only one of its kind.
            if !session.has_endpoint("AWS_ENDPOINT_URL_ECR") {
                if *fips {
                    config = config.use_fips(true);
                }
                if *dual_stack {
                    config = config.use_dual_stack(true);
                }
            }
            let client = aws_sdk_ecr::Client::from_conf(config.build());
            let answer = session.wait(client.get_authorization_token().send());
            let answer = answer.map_err(|error| Error::of(action, error))?;
            let data = answer.authorization_data.and_then(|data| data.into_iter().next());
            let token = data.as_ref().and_then(|data| data.authorization_token.clone());
            (action, token, data.and_then(|data| data.expires_at))
        }
    };
    let protocol = |reason: &str| Error::Protocol {
        action: action.to_owned(),
        reason: reason.to_owned(),
    };
    let token = token.ok_or_else(|| protocol("the answer holds no token"))?;
    let pair = STANDARD.decode(token.trim()).ok();
    let pair = pair.and_then(|pair| String::from_utf8(pair).ok());
    let credential = pair.as_deref().and_then(|pair| pair.split_once(':'));
    let (user, password) = credential.ok_or_else(|| protocol("the token is not user:password in base64"))?;
    let until = expires.and_then(|expires| SystemTime::try_from(expires).ok());
    Ok(Lent {
        credential: Credential::Password {
            user: user.to_owned(),
            password: Secret::new(password),
        },
        until: Some(Instant::now() + life(until)),
    })
}

/// How long a token is used that ends at `until`.
fn life(until: Option<SystemTime>) -> Duration {
    let left = until.map_or(LONGEST, |until| {
        until.duration_since(SystemTime::now()).unwrap_or_default()
    });
    let left = left.min(LONGEST);
    left - MARGIN.min(left / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_renewed_before_it_ends() {
        let now = SystemTime::now();
        let day = now + Duration::from_secs(86_400);
        assert_eq!(life(Some(day)), LONGEST - MARGIN);
        assert_eq!(life(None), LONGEST - MARGIN);
        assert_eq!(life(Some(now - Duration::from_secs(1))), Duration::ZERO);
        assert!(life(Some(now + Duration::from_secs(60))) <= Duration::from_secs(30));
    }
}
