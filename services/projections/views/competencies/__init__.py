"""View `competencies`: what each person holds, and on which day it counts. Section 4.1 of the contract."""
