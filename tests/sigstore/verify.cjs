// `node verify.cjs PUBLIC.pem BUNDLE...`: prints what each bundle's statement is about, if the key signed it, as the
// verifier of Sigstore says. The key is called as OpenSSF Model Signing calls it: by the digest of its PEM text.
const { createHash, createPublicKey } = require("node:crypto");
const { readFileSync } = require("node:fs");

const { bundleFromJSON } = require("@sigstore/bundle");
const { Verifier, toSignedEntity } = require("@sigstore/verify");

const [pem, ...bundles] = process.argv.slice(2);
const text = readFileSync(pem);
const hint = createHash("sha256").update(text).digest("hex");
const trust = {
  certificateAuthorities: [],
  timestampAuthorities: [],
  tlogs: [],
  ctlogs: [],
  publicKey: (wanted) => {
    if (wanted !== hint) throw new Error(`no key ${wanted}`);
    return { publicKey: createPublicKey(text), validFor: () => true };
  },
};
const verifier = new Verifier(trust, { tlogThreshold: 0, ctlogThreshold: 0, timestampThreshold: 0 });
for (const path of bundles) {
  const bundle = bundleFromJSON(JSON.parse(readFileSync(path)));
  verifier.verify(toSignedEntity(bundle));
  const statement = JSON.parse(bundle.content.dsseEnvelope.payload);
  console.log(`${statement.predicateType} ${statement.subject[0].name}`);
}
