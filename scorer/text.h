// The text as llama-perplexity takes it.
#pragma once

#include "llama.h"

#include <string>
#include <vector>

// Token ids of the file's text. Raises Failure.
std::vector<llama_token> tokens_of(const std::string & path, const llama_vocab * vocab);
