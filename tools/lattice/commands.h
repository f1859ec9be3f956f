// The commands of `lattice`. Each takes the words after its name and returns the exit code; each has
// its own --help. Their files have the names of the commands.
#ifndef TOOLS_LATTICE_COMMANDS_H_
#define TOOLS_LATTICE_COMMANDS_H_

#include <string>
#include <vector>

#include "tools/lattice/target.h"

namespace lattice::cli {

using Words = std::vector<std::string>;

ExitCode RunStatus(const Words& words);
ExitCode RunPolicyShow(const Words& words);
ExitCode RunPolicyCheck(const Words& words);
ExitCode RunPolicyApply(const Words& words);
ExitCode RunFlows(const Words& words);
ExitCode RunTop(const Words& words);
ExitCode RunDetach(const Words& words);
ExitCode RunDoctor(const Words& words);
ExitCode RunAuditVerify(const Words& words);
ExitCode RunAuditReconcile(const Words& words);
ExitCode RunAuditRejects(const Words& words);
ExitCode RunAuditQuery(const Words& words);
ExitCode RunAuditExport(const Words& words);
ExitCode RunAuditTail(const Words& words);
ExitCode RunAuditTop(const Words& words);

// With the control plane.
ExitCode RunTokenCreate(const Words& words);
ExitCode RunTokenList(const Words& words);
ExitCode RunTokenRevoke(const Words& words);
ExitCode RunAgentPolicySet(const Words& words);
ExitCode RunAgentPolicyShow(const Words& words);
ExitCode RunAgents(const Words& words);
ExitCode RunAgentsRevoke(const Words& words);
ExitCode RunAgentsApprove(const Words& words);
ExitCode RunEnroll(const Words& words);
ExitCode RunUp(const Words& words);

// Sandboxes in pod mode.
ExitCode RunSandboxStart(const Words& words);
ExitCode RunSandboxRun(const Words& words);

// WireGuard by our own engine.
ExitCode RunWgUp(const Words& words);
ExitCode RunWgRun(const Words& words);

}  // namespace lattice::cli

#endif  // TOOLS_LATTICE_COMMANDS_H_
