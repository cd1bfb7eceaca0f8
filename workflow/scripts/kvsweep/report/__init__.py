"""The report: what it says (`view` and the modules it joins), as one HTML page (`html`) and as a post (`markdown`)."""
