use modelkeep_core::{Host, RepoName};

use super::Keychain;
use crate::{
    Access, Error, Settings,
    auth::{Lent, Lookup, Place},
    aws::{self, EcrHost, Transport},
};

/// Where credentials for a registry come from: what is stored goes before what AWS lends. What is public is read
/// without any, and ECR Public takes more requests from whom it knows.
pub(crate) fn places(
    host: &Host,
    name: &RepoName,
    access: Access,
    keychain: Keychain,
    settings: &Settings,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<Vec<Place>, Error> {
    let stored: Lookup = {
        let (host, name) = (host.clone(), name.clone());
        Box::new(move || Ok(keychain.find(&host, &name)?.map(Lent::from)))
    };
    let mut places = vec![Place::Stored(stored)];
    let ecr = EcrHost::of(host.as_str());
    if access == Access::Read && !matches!(ecr, Some(EcrHost::Private { .. })) {
        places.push(Place::Nobody);
    }
    if let Some(ecr) = ecr {
        let transport = Transport::new(settings.ca.clone(), variable)?;
        let host = host.clone();
        places.push(Place::Aws(Box::new(move || {
            aws::password(&host, &ecr, &transport).map(Some)
        })));
    }
    Ok(places)
}
