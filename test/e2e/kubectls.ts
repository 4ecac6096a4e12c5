export { findKubectls, type Kubectl, noKubectl } from "@tripod/testing";
