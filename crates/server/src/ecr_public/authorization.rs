//! `GetAuthorizationToken`: a password for docker.

use serde_json::json;

use super::{ApiError, Call, json};

/// `GetAuthorizationToken`
pub(super) fn get_token(call: &mut Call<'_, '_, '_>) -> Result<Vec<u8>, ApiError> {
    let login = call.registry().access.login(&call.signer);
    Ok(json(&json!({
        "authorizationData": { "authorizationToken": login.token, "expiresAt": login.expires }
    })))
}
